"""A decoder for play: a tiny network that shows what a large autoencoder's own decoder would show.

Almost all of its work is done on the latent grid, a little at twice its size, and nothing at the size of the
frame: the last convolution makes every pixel of a patch at once (pixel shuffle, Shi et al. 2016,
arXiv:1609.05158). Owns the network; `training/distil_decoder.py` teaches it, `latent_space.py` keeps it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.models.autoencoder import PlainBlock
from worldgen_core.models.blocks import depth_to_space

FINE = 2
"""Side of the square of fine places that a place of the latent grid becomes."""


class LightDecoderSettings(BaseModel):
    """Size of the network; the defaults cost a fortieth of TAESD's decoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=64, ge=1)
    """Channels on the latent grid."""
    num_blocks: int = Field(default=2, ge=0)
    """Residual blocks on the latent grid."""
    fine_width: int = Field(default=32, ge=1)
    """Channels on the grid of twice its height and width; a channel there costs four times as much."""
    num_fine_blocks: int = Field(default=2, ge=0)
    """Residual blocks on that grid."""


class LightDecoder(nn.Module):
    """Latents to frames, over a fixed picture that need not be decoded.

    `background` is added at the end; with the dataset's median frame, the weights are left with what moves.
    """

    background: Tensor

    def __init__(
        self,
        settings: LightDecoderSettings,
        *,
        num_latent_channels: int,
        factor: int,
        height: int,
        width: int,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.factor = factor
        fine = settings.fine_width
        self.register_buffer("background", torch.zeros(3, height, width))
        self.coarse = nn.Sequential(
            nn.Conv2d(num_latent_channels, settings.width, 3, padding=1),
            *(PlainBlock(settings.width) for _ in range(settings.num_blocks)),
            nn.SiLU(),
            nn.Conv2d(settings.width, fine * FINE**2, 3, padding=1),
        )
        self.fine = nn.Sequential(
            *(PlainBlock(fine) for _ in range(settings.num_fine_blocks)),
            nn.SiLU(),
            nn.Conv2d(fine, 3 * (factor // FINE) ** 2, 3, padding=1),
        )

    def decode(self, z: Float32[Tensor, "b c h_z w_z"]) -> Float32[Tensor, "b 3 h w"]:
        """Return the frames of latents as the autoencoder makes them; not clamped."""
        cells = self.fine(functional.pixel_shuffle(self.coarse(z), FINE)).float()
        return depth_to_space(cells, self.factor // FINE) + self.background
