"""The trained part of `diamond-vae`: EDM denoiser over latents and a head that tells when a life ends.

Owns how U-Net, preconditioning and context noise go together; knows neither frames nor files. Latents come in
normalised (models/latent_space.py) and are never clamped. Departure from DIAMOND: the level of the context's
noise goes in as it is, not as its logarithm, so that a clean context (0) is the end of the trained range.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from worldgen_core.diffusion.edm import EdmSettings, preconditioners
from worldgen_core.models.chance import ChanceGuide, ChanceSettings
from worldgen_core.models.end_head import EndHead, num_recent, recent
from worldgen_core.models.inner_unet import InnerUnet, InnerUnetSettings
from worldgen_core.models.played_unet import PlayedUnet


class LatentDenoiserSettings(BaseModel):
    """Size of the denoiser and the constants it is built around."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unet: InnerUnetSettings
    """The network."""
    edm: EdmSettings = EdmSettings()
    """Preconditioning and training noise; normalised latents have a `sigma_data` of 1."""
    has_position_map: bool = False
    """Whether the network learns a map of places; needed where the autoencoder takes the background off."""
    end_width: int = Field(default=32, ge=1)
    """Channels of the head that tells when a life ends."""
    chance: ChanceSettings | None = None
    """What the game draws at random, as an input of its own; needed where frames are drawn in one step, which
    cannot choose. None: all chance is in the sampler's noise, as published."""


class LatentContext(NamedTuple):
    """What the next latent depends on; act[:, -1] causes it, and `sigma` is the noise that lies on `z`.

    `guides` are pictures that tell its chance; a model without chance has none.
    """

    z: Float32[Tensor, "b t c h w"]
    act: Int64[Tensor, "b t"]
    sigma: Float32[Tensor, " b"]
    guides: Float32[Tensor, "b g c h w"]


class LatentDenoiser(nn.Module):
    """D(x; sigma, context) over normalised latents, and the probability that the result ends a life."""

    def __init__(
        self, settings: LatentDenoiserSettings, *, latent_shape: tuple[int, int, int], num_actions: int
    ) -> None:
        super().__init__()
        num_channels, *grid = latent_shape
        self.settings = settings
        self.latent_shape = latent_shape
        self.num_actions = num_actions
        self.num_context_frames = settings.unet.num_context_frames
        self.unet: InnerUnet | PlayedUnet = InnerUnet(
            settings.unet,
            num_channels=num_channels,
            num_actions=num_actions,
            num_guides=int(settings.chance is not None),
            grid=(grid[0], grid[1]) if settings.has_position_map else None,
        )
        self.end_head = EndHead(
            num_channels * num_recent(settings.unet.num_context_frames), settings.end_width
        )
        self.chance = None if settings.chance is None else ChanceGuide(settings.chance, latent_shape)

    def forward(
        self, x: Float32[Tensor, "b c h w"], sigma: Float32[Tensor, " b"], context: LatentContext
    ) -> Float32[Tensor, "b c h w"]:
        """Return the expected clean latent."""
        edm = self.settings.edm
        factors = preconditioners(sigma, sigma_data=edm.sigma_data, sigma_offset_noise=edm.sigma_offset_noise)
        output = self.raw(factors.c_in * x, factors.c_noise, context)
        return factors.c_skip * x + factors.c_out * output

    @property
    def own_unet(self) -> InnerUnet:
        """The U-Net that is trained."""
        return self.unet.unet if isinstance(self.unet, PlayedUnet) else self.unet

    def raw(
        self, x: Float32[Tensor, "b c h w"], c_noise: Float32[Tensor, " b"], context: LatentContext
    ) -> Float32[Tensor, "b c h w"]:
        """Return the network's own output F, of which the loss is taken."""
        prev_obs = torch.cat([context.z, context.guides], dim=1) / self.settings.edm.sigma_data
        return self.unet(x, c_noise, context.sigma, prev_obs, context.act)

    def end_logit(self, context: LatentContext, z: Float32[Tensor, "b c h w"]) -> Float32[Tensor, " b"]:
        """Return the logit of `z`, which follows the context, being the last frame of a life."""
        return self.end_head(recent(context.z, z))
