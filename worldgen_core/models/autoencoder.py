"""The small autoencoder that is trained here, KL-regularised or plain, and what models need of any.

Owns the network between frames and latents; training, files and latent statistics live elsewhere. All its
work is done on the latent grid: patches become channels at the door and pixels again at the end, which keeps
hard pixel-art edges and costs a fraction of a decoder that works at full size. Source of the objective:
Kingma & Welling 2014; as in latent diffusion (Rombach et al. 2022) the KL term is only a light regulariser.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.diffusion.losses import kl_to_standard_normal
from worldgen_core.models.blocks import depth_to_space, space_to_depth
from worldgen_core.models.recompute import Recomputable
from worldgen_core.rows import normal


class LatentDraw(NamedTuple):
    """A latent as the decoder sees it in training, and what it costs in nats a value."""

    z: Float32[Tensor, "b c h w"]
    kl: Float32[Tensor, ""]


@runtime_checkable
class FrameAutoencoder(Protocol):
    """What latent models, training and evaluation need of an autoencoder; frames are in [-1, 1]."""

    factor: int
    num_latent_channels: int

    def encode(self, obs: Float32[Tensor, "b 3 h w"]) -> Float32[Tensor, "b c h_z w_z"]:
        """Return the expected latent of each frame."""
        ...

    def draw(self, obs: Float32[Tensor, "b 3 h w"], generator: torch.Generator) -> LatentDraw:
        """Return a random latent of each frame, for training."""
        ...

    def decode(self, z: Float32[Tensor, "b c h_z w_z"]) -> Float32[Tensor, "b 3 h w"]:
        """Return the frames of latents; not clamped, so that gradients stay alive."""
        ...


class KlAutoencoderSettings(BaseModel):
    """Size of the trained autoencoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    factor: int = Field(default=4, ge=2, le=16)
    """Side of the square of pixels that becomes one place of the latent grid; raising it makes the world
    model faster and small things harder to keep."""
    num_latent_channels: int = Field(default=4, ge=1)
    """Channels of a latent."""
    width: int = Field(default=64, ge=1)
    """Channels of the hidden layers."""
    num_encoder_blocks: int = Field(default=1, ge=0)
    """Residual blocks between a frame and its latent."""
    num_decoder_blocks: int = Field(default=2, ge=0)
    """Residual blocks between a latent and its frame; they are run for every dreamt frame."""
    is_plain: bool = False
    """Encode to a point instead of a normal distribution: nothing keeps the latent space smooth, and frames
    that look alike may lie far apart. The recipe's variant that failed on Pokemon, kept for comparison."""


class KlAutoencoder(nn.Module):
    """Encodes a frame as a normal distribution (plain: a point) on the latent grid, and decodes a draw.

    `background` is a fixed picture that is taken off before encoding and put back after decoding. With the
    dataset's median frame, latents need not spell out what never moves; zeros turn it off.
    """

    background: Tensor

    def __init__(self, settings: KlAutoencoderSettings, *, height: int, width: int) -> None:
        super().__init__()
        self.settings = settings
        self.factor = settings.factor
        self.num_latent_channels = settings.num_latent_channels
        patch, hidden = 3 * settings.factor**2, settings.width
        self.register_buffer("background", torch.zeros(3, height, width))
        self.encoder = nn.Sequential(
            nn.Conv2d(patch, hidden, 3, padding=1),
            *(PlainBlock(hidden) for _ in range(settings.num_encoder_blocks)),
            nn.SiLU(),
            nn.Conv2d(hidden, settings.num_latent_channels * (1 if settings.is_plain else 2), 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(settings.num_latent_channels, hidden, 3, padding=1),
            *(PlainBlock(hidden) for _ in range(settings.num_decoder_blocks)),
            nn.SiLU(),
            nn.Conv2d(hidden, patch, 3, padding=1),
        )

    def encode(self, obs: Float32[Tensor, "b 3 h w"]) -> Float32[Tensor, "b c h_z w_z"]:
        """Return the mean of each frame's distribution, or the point."""
        return self._encoded(obs)[:, : self.num_latent_channels]

    def draw(self, obs: Float32[Tensor, "b 3 h w"], generator: torch.Generator) -> LatentDraw:
        """Return a draw from each frame's distribution, with noise from the CPU on every device."""
        if self.settings.is_plain:
            return LatentDraw(self._encoded(obs), torch.zeros((), device=obs.device))
        mean, log_variance = self._encoded(obs).chunk(2, dim=1)
        # Bounds as in latent diffusion: outside them exp() helps nobody.
        log_variance = log_variance.clamp(-20.0, 10.0)
        noise = normal(mean.shape, generator).to(mean.device)
        z = mean + (log_variance / 2).exp() * noise
        return LatentDraw(z, kl_to_standard_normal(mean, log_variance))

    def decode(self, z: Float32[Tensor, "b c h_z w_z"]) -> Float32[Tensor, "b 3 h w"]:
        """Return the frames of latents."""
        return depth_to_space(self.decoder(z).float(), self.factor) + self.background

    def _encoded(self, obs: Tensor) -> Tensor:
        return self.encoder(space_to_depth(obs - self.background, self.factor)).float()


class PlainBlock(Recomputable):
    """Residual block of two 3x3 convolutions; a fresh one is the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return x plus the block's correction."""
        return x + self.conv2(functional.silu(self.conv1(functional.silu(x))))
