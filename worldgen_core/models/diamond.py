"""The `diamond` and `diamond-small` world models at play: a small frame is dreamt, then made large.

After DIAMOND (Alonso et al. 2024, arXiv:2405.12399), as its authors did for a game of large frames. Owns how
a dream goes from frame to frame: the low-resolution denoiser is fed its own small frames, the upsampler its
own full ones, never rounded. A model folder holds model.json, model.safetensors (the denoiser) and
upsampler.safetensors; reward.safetensors too where the dataset had rewards.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldgen_core.device import choose_device
from worldgen_core.models.card import ModelCard, fill, read_weights, settings_of
from worldgen_core.models.chance import play_guides
from worldgen_core.models.dreams import Imagined, Slot, TensorDreams, appended, picture
from worldgen_core.models.pixel_denoiser import PixelDenoiser, PixelStageSettings, draw_frame
from worldgen_core.models.played_unet import PlayedUnet
from worldgen_core.models.upsampler import DiamondCardSettings, Upsampler, build_upsampler, shrunk
from worldgen_core.names import DeviceName
from worldgen_core.ranges import to_unit


class DiamondWorldModel(TensorDreams):
    """Dreams with a low-resolution denoiser and an upsampler; each row of a batch draws its own noise."""

    def __init__(
        self,
        denoiser: PixelDenoiser,
        stage: PixelStageSettings,
        upsampler: Upsampler,
        device: torch.device,
    ) -> None:
        super().__init__("diamond", device)
        assert denoiser.num_actions is not None
        denoiser.unet = self._unet = PlayedUnet(denoiser.own_unet)
        upsampler.denoiser.unet = self._upsampling = PlayedUnet(upsampler.denoiser.own_unet)
        self._denoiser = denoiser.to(device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]  # missing overload
        self._upsampler = upsampler.to(device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]  # missing overload
        self._stage = stage
        self._num_full = upsampler.denoiser.num_context_frames
        self.num_context_frames = max(denoiser.num_context_frames, self._num_full)
        self.num_actions = denoiser.num_actions
        self.frame_shape = upsampler.full_size
        self.takes_chance_from_truth = denoiser.chance is not None

    @property
    def num_steps(self) -> dict[str, int]:
        """Sampler steps a frame of each stage; see `CanChangeSteps`."""
        upsampler = self._upsampler.settings.stage.sampler.num_steps
        return {"denoiser": self._stage.sampler.num_steps, "upsampler": upsampler}

    def with_steps(self, num_steps: Mapping[str, int]) -> DiamondWorldModel:
        """A twin that draws in other numbers of steps; see `CanChangeSteps`."""
        other = copy.copy(self)
        other._stage = self._stage.with_steps(num_steps.get("denoiser"))
        other._upsampler = self._upsampler.with_steps(num_steps.get("upsampler"))
        return other

    def _begin(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"]
    ) -> dict[str, Tensor]:
        obs = rearrange(to_unit(frames), "b t h w c -> b t c h w")
        num_low = self._denoiser.num_context_frames
        low = shrunk(rearrange(obs[:, -num_low:], "b t c h w -> (b t) c h w"), self._upsampler.low_size)
        return {
            "low": rearrange(low, "(b t) c h w -> b t c h w", b=len(obs)),
            "full": obs[:, -self._num_full :],
            "act": actions[:, actions.shape[1] - num_low + 1 :],
        }

    @property
    def slots(self) -> dict[str, Slot]:
        """The U-Nets of both stages."""
        return {"unet": Slot(self._unet, "body"), "upsampler": Slot(self._upsampling, "body")}

    @torch.inference_mode()
    def advance(
        self,
        action: Int64[Tensor, " b"],
        truth: UInt8[Tensor, "b h w c"] | None = None,
    ) -> Imagined:
        """Dream the next frame from the model's own noise; see `WorldModel.step`."""
        state = self._state
        act = torch.cat([state["act"], action.to(self._device)[:, None]], dim=1)
        true_low = None
        if truth is not None and self.takes_chance_from_truth:
            true_low = shrunk(picture(truth, self._device), self._upsampler.low_size)
        guides = play_guides(self._denoiser.chance, state["low"], true_low, self._generators)
        low = draw_frame(
            self._denoiser, torch.cat([state["low"], guides], dim=1), act, self._stage, self._draw_noise
        )
        full = self._upsampler.draw(state["full"], low, self._draw_noise)
        has_head = self._denoiser.end_head is not None
        end_logit = self._denoiser.end_logit(state["low"], low) if has_head else None
        self._state = {
            "low": appended(state["low"], low),
            "full": appended(state["full"], full),
            "act": act[:, 1:],
        }
        return Imagined(full, end_logit)


def load(folder: Path, card: ModelCard, device: DeviceName) -> DiamondWorldModel:
    """Open a model folder that `train_diamond` or an import wrote.

    Raises: CheckpointError if a file is damaged or does not fit its card; ConfigError for a missing device.
    """
    settings = settings_of(card, DiamondCardSettings)
    upsampler = build_upsampler(card, folder)
    denoiser = PixelDenoiser(
        settings.stage.denoiser, num_actions=len(card.action_names), size=upsampler.low_size
    )
    fill(denoiser, read_weights(folder, card), source=str(folder))
    return DiamondWorldModel(denoiser, settings.stage, upsampler, choose_device(device))
