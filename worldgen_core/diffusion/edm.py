"""EDM preconditioning and noising: how a raw network becomes a denoiser D(x; sigma).

Owns the formulas and the draw of training noise; knows no network, no data and no sampler.
Source: Karras et al. 2022 (arXiv:2206.00364), table 1; offset noise as in DIAMOND (arXiv:2405.12399): one
extra normal value per channel, so that the model also learns to correct whole-picture drifts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from worldgen_core.rows import normal


class EdmSettings(BaseModel):
    """Constants of the preconditioning and of the noise levels seen in training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigma_data: float = Field(default=1.0, gt=0)
    """Standard deviation of the data; 1 for normalised latents, 0.5 for pixels in [-1, 1]."""
    sigma_offset_noise: float = Field(default=0.1, ge=0)
    """Standard deviation of the offset shared by all places of a channel; 0 turns it off."""
    loc: float = -1.2
    """Mean of ln(sigma) in training; higher means noisier samples, which few-step sampling needs."""
    scale: float = Field(default=1.2, gt=0)
    """Standard deviation of ln(sigma) in training."""
    sigma_min: float = Field(default=2e-3, gt=0)
    """Training noise is clipped from below to this."""
    sigma_max: float = Field(default=20.0, gt=0)
    """Training noise is clipped from above to this."""


class Preconditioners(NamedTuple):
    """The four factors of EDM; the first three broadcast over (c, h, w), `c_noise` stays (b,)."""

    c_in: Float32[Tensor, "b 1 1 1"]
    c_out: Float32[Tensor, "b 1 1 1"]
    c_skip: Float32[Tensor, "b 1 1 1"]
    c_noise: Float32[Tensor, " b"]


def preconditioners(
    sigma: Float32[Tensor, " b"], *, sigma_data: float, sigma_offset_noise: float = 0.0
) -> Preconditioners:
    """Return the factors that keep the network's input and target at unit variance for every noise level.

    The offset noise adds to the variance, so sigma' = sqrt(sigma^2 + offset^2) takes the place of sigma
    throughout.
    """
    variance = sigma**2 + sigma_offset_noise**2
    total = variance + sigma_data**2
    c_skip = sigma_data**2 / total
    c_out = variance.sqrt() * sigma_data / total.sqrt()
    c_in = 1 / total.sqrt()
    c_noise = variance.sqrt().log() / 4
    return Preconditioners(
        c_in[:, None, None, None], c_out[:, None, None, None], c_skip[:, None, None, None], c_noise
    )


def training_sigma(
    num: int, settings: EdmSettings, generator: torch.Generator, device: torch.device | str = "cpu"
) -> Float32[Tensor, " b"]:
    """Draw `num` noise levels from the clipped log-normal distribution that EDM trains on."""
    sigma = (normal((num,), generator) * settings.scale + settings.loc).exp()
    return sigma.clamp(settings.sigma_min, settings.sigma_max).to(device)


def add_noise(
    x: Float32[Tensor, "b c h w"],
    sigma: Float32[Tensor, " b"],
    *,
    sigma_offset_noise: float,
    generator: torch.Generator,
) -> Float32[Tensor, "b c h w"]:
    """Return `x` with normal noise of level `sigma` a value, plus one normal offset a channel.

    Noise is drawn on the CPU from `generator`, so every device sees the same.
    """
    b, c = x.shape[:2]
    noise = normal(x.shape, generator).to(x.device)
    offset = normal((b, c, 1, 1), generator).to(x.device)
    return x + sigma[:, None, None, None] * noise + sigma_offset_noise * offset
