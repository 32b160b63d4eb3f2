"""The `diamond` and `diamond-small` world models at play: a small frame is dreamt, then made large.

After DIAMOND (Alonso et al. 2024, arXiv:2405.12399), as its authors did for a game of large frames. Owns how
a dream goes from frame to frame: the low-resolution denoiser is fed its own small frames, the upsampler its
own full ones, never rounded. A model folder holds model.json, model.safetensors (the denoiser) and
upsampler.safetensors.
"""

from __future__ import annotations

from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from worldgen_core.device import choose_device
from worldgen_core.errors import ContextLengthError
from worldgen_core.models.card import ModelCard, fill, read_weights, settings_of
from worldgen_core.models.interface import Prediction
from worldgen_core.models.pixel_denoiser import PixelDenoiser, PixelStageSettings, draw_frame
from worldgen_core.models.upsampler import DiamondCardSettings, Upsampler, build_upsampler, shrunk
from worldgen_core.names import DeviceName
from worldgen_core.ranges import to_u8, to_unit
from worldgen_core.seeds import derive_seed


class DiamondWorldModel:
    """Dreams with a low-resolution denoiser and an upsampler; each row of a batch draws its own noise."""

    def __init__(
        self,
        denoiser: PixelDenoiser,
        stage: PixelStageSettings,
        upsampler: Upsampler,
        device: torch.device,
    ) -> None:
        assert denoiser.num_actions is not None
        self._denoiser = denoiser.to(device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]  # missing overload
        self._upsampler = upsampler.to(device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]  # missing overload
        self._stage = stage
        self._device = device
        self._num_full = upsampler.denoiser.num_context_frames
        self.num_context_frames = max(denoiser.num_context_frames, self._num_full)
        self.num_actions = denoiser.num_actions
        self.frame_shape = upsampler.full_size
        self.takes_chance_from_truth = False

    @torch.inference_mode()
    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b t-1"], *, seed: int
    ) -> None:
        """Start b dreams; see `WorldModel.reset`."""
        if frames.shape[1] != self.num_context_frames:
            raise ContextLengthError(
                "reset of a diamond model",
                expected=f"{self.num_context_frames} context frames",
                found=f"{frames.shape[1]}",
                next_step="give as many frames as the model's `num_context_frames`",
            )
        obs = rearrange(to_unit(frames.to(self._device)), "b t h w c -> b t c h w")
        num_low = self._denoiser.num_context_frames
        low = shrunk(rearrange(obs[:, -num_low:], "b t c h w -> (b t) c h w"), self._upsampler.low_size)
        self._low = rearrange(low, "(b t) c h w -> b t c h w", b=len(obs))
        self._full = obs[:, -self._num_full :]
        self._act = actions.to(self._device)[:, actions.shape[1] - num_low + 1 :]
        self._generators = [
            torch.Generator().manual_seed(derive_seed(seed, "dream", row)) for row in range(len(frames))
        ]

    @torch.inference_mode()
    def restart(
        self,
        rows: Int64[Tensor, " r"],
        frames: UInt8[Tensor, "r t h w c"],
        actions: Int64[Tensor, "r past"],
        *,
        seed: int,
    ) -> None:
        """Start some dreams anew and leave the others as they are; see `CanRestart.restart`."""
        state, generators = (self._low, self._full, self._act), self._generators
        self.reset(frames, actions, seed=seed)
        fresh = (self._low, self._full, self._act)
        for row, generator in zip(rows.tolist(), self._generators, strict=True):
            generators[row] = generator
        at = rows.to(self._device)
        self._low, self._full, self._act = (
            whole.index_copy(0, at, part) for whole, part in zip(state, fresh, strict=True)
        )
        self._generators = generators

    @torch.inference_mode()
    def step(
        self,
        action: Int64[Tensor, " b"],
        *,
        truth: UInt8[Tensor, "b h w c"] | None = None,  # noqa: ARG002  # see takes_chance_from_truth
    ) -> Prediction:
        """Dream the next frame from the model's own noise; see `WorldModel.step`."""
        act = torch.cat([self._act, action.to(self._device)[:, None]], dim=1)
        low = draw_frame(self._denoiser, self._low, act, self._stage, self._draw_noise)
        full = self._upsampler.draw(self._full, low, self._draw_noise)
        has_head = self._denoiser.end_head is not None
        end = torch.sigmoid(self._denoiser.end_logit(self._low[:, -1], low)).cpu() if has_head else None
        self._low = torch.cat([self._low[:, 1:], low[:, None]], dim=1)
        self._full = torch.cat([self._full[:, 1:], full[:, None]], dim=1)
        self._act = act[:, 1:]
        frame = rearrange(to_u8(full), "b c h w -> b h w c").contiguous()
        return Prediction(frame.cpu(), reward=None, terminated=end)

    def _draw_noise(self, shape: tuple[int, ...]) -> Float32[Tensor, "b ..."]:
        rows = [torch.randn(shape, generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self._device)


def load(folder: Path, card: ModelCard, device: DeviceName) -> DiamondWorldModel:
    """Open a model folder that `train_diamond` or an import wrote.

    Raises: CheckpointError if a file is damaged or does not fit its card; ConfigError for a missing device.
    """
    settings = settings_of(card, DiamondCardSettings)
    denoiser = PixelDenoiser(settings.stage.denoiser, num_actions=len(card.action_names))
    fill(denoiser, read_weights(folder, card), source=str(folder))
    upsampler = build_upsampler(card, folder)
    return DiamondWorldModel(denoiser, settings.stage, upsampler, choose_device(device))
