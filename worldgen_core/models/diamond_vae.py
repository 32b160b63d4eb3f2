"""The `diamond-vae` and `diamond-ae` world models at play: a latent denoiser dreams, an autoencoder shows.

Owns how a dream goes from frame to frame. What is fed back are latents, never decoded frames; they are not
clamped. A model folder holds the denoiser (model.json, model.safetensors) and the autoencoder
(autoencoder.json, autoencoder.safetensors), so it can also stand in for the autoencoder's own folder.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from worldgen_core.device import choose_device
from worldgen_core.diffusion.samplers import SamplerSettings, sample
from worldgen_core.models.card import ModelCard, fill, read_weights, settings_of
from worldgen_core.models.dreams import Imagined, Slot, appended
from worldgen_core.models.latent_denoiser import LatentContext, LatentDenoiser, LatentDenoiserSettings
from worldgen_core.models.latent_dreams import LatentDreams
from worldgen_core.models.latent_space import AUTOENCODER_WEIGHTS_FILE, LatentSpace, load_latent_space
from worldgen_core.models.played_unet import PlayedUnet
from worldgen_core.names import DeviceName


class DiamondVaeCardSettings(BaseModel):
    """What the card of a `diamond-vae` says of its network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    denoiser: LatentDenoiserSettings
    """Size and constants of the denoiser."""
    sampler: SamplerSettings
    """How a latent is drawn at play."""


class DiamondVaeWorldModel(LatentDreams[SamplerSettings]):
    """Dreams with a `LatentDenoiser`; each row of a batch draws its own noise."""

    def __init__(
        self, denoiser: LatentDenoiser, space: LatentSpace, sampler: SamplerSettings, device: torch.device
    ) -> None:
        super().__init__("diamond-vae", space, denoiser.chance, sampler, device)
        denoiser.unet = self._unet = PlayedUnet(denoiser.own_unet)
        self._denoiser = denoiser.to(device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]  # missing overload
        self.num_context_frames = denoiser.num_context_frames
        self.num_actions = denoiser.num_actions

    @property
    def slots(self) -> dict[str, Slot]:
        """The denoiser's U-Net and the decoder."""
        return {"unet": Slot(self._unet, "body"), **self._decoder_slots()}

    @torch.inference_mode()
    def advance(
        self,
        action: Int64[Tensor, " b"],
        truth: UInt8[Tensor, "b h w c"] | None = None,
    ) -> Imagined:
        """Dream the next frame from the model's own noise; see `WorldModel.step`."""
        act = torch.cat([self._state["act"], action.to(self._device)[:, None]], dim=1)
        clean = torch.zeros(len(act), device=self._device)
        context = LatentContext(self._state["z"], act, clean, self._guides(truth))
        z = sample(
            lambda x, sigma: self._denoiser(x, sigma, context),
            lambda: self._draw_noise(self._space.latent_shape),
            self._sampler,
        )
        end_logit = self._denoiser.end_logit(context, z)
        self._state = {"z": appended(self._state["z"], z), "act": act[:, 1:]}
        return Imagined(self._space.decode(z), end_logit)


def build(card: ModelCard, latent_shape: tuple[int, int, int]) -> tuple[LatentDenoiser, SamplerSettings]:
    """Return the untrained denoiser that a card describes, and its sampler.

    Raises: CheckpointError if the card is not that of a `diamond-vae`.
    """
    settings = settings_of(card, DiamondVaeCardSettings)
    num_actions = len(card.action_names)
    denoiser = LatentDenoiser(settings.denoiser, latent_shape=latent_shape, num_actions=num_actions)
    return denoiser, settings.sampler


def load(folder: Path, card: ModelCard, device: DeviceName) -> DiamondVaeWorldModel:
    """Open a model folder that `train_diamond_vae` wrote.

    Raises: CheckpointError if a file is damaged or does not fit its card; ConfigError for a missing device.
    """
    read_weights(folder, card, file_name=AUTOENCODER_WEIGHTS_FILE)  # proves the digest
    space = load_latent_space(folder)
    denoiser, sampler = build(card, space.latent_shape)
    fill(denoiser, read_weights(folder, card), source=str(folder))
    return DiamondVaeWorldModel(denoiser, space, sampler, choose_device(device))
