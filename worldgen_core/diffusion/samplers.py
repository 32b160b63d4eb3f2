"""Euler and Heun integration of the EDM sampling equation, with optional churn.

Owns the integration alone: the denoiser is any function D(x; sigma).
Source: Karras et al. 2022 (arXiv:2206.00364), algorithms 1 and 2. Departure: churn is off by default.
DIAMOND's code departs further, which `compat="diamond"` repeats: it starts from N(0, 1) and not from
N(0, sigma_max^2), and after churn it still tells the denoiser the level from before the churn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from worldgen_core.diffusion.schedules import karras_schedule
from worldgen_core.names import CompatName


class SamplerSettings(BaseModel):
    """How a sample is drawn; costs `num_steps` network calls with Euler and `2 num_steps - 1` with Heun."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["euler", "heun"] = "euler"
    """Heun is of second order: better for the same steps, at nearly twice the calls; equal with one step."""
    num_steps: int = Field(default=3, ge=1)
    """Steps from `sigma_max` to 0; more steps give sharper samples and cost time in proportion."""
    sigma_min: float = Field(default=2e-3, gt=0)
    """Last noise level before 0."""
    sigma_max: float = Field(default=5.0, gt=0)
    """First noise level."""
    rho: float = Field(default=7.0, gt=0)
    """Shape of the schedule; raising it spends more steps at low noise."""
    s_churn: float = Field(default=0.0, ge=0)
    """Fresh noise a sample is given on its way, spread over the steps; 0 is the deterministic sampler."""
    s_tmin: float = Field(default=0.0, ge=0)
    """Churn acts from this noise level on."""
    s_tmax: float | None = Field(default=None, ge=0)
    """Churn acts up to this noise level; None means no upper limit."""
    s_noise: float = Field(default=1.0, gt=0)
    """Scale of the fresh noise."""

    @model_validator(mode="after")
    def _levels_are_ordered(self) -> SamplerSettings:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min ({self.sigma_min}) must be below sigma_max ({self.sigma_max})")
        return self

    def with_steps(self, num_steps: int | None) -> SamplerSettings:
        """These settings with another number of steps; None keeps it."""
        return self if num_steps is None else self.model_copy(update={"num_steps": num_steps})

    @property
    def num_evaluations(self) -> int:
        """Network calls a sample."""
        return self.num_steps if self.method == "euler" else 2 * self.num_steps - 1


Denoiser = Callable[[Tensor, Tensor], Tensor]
"""D(x; sigma), from x (b, c, h, w) and sigma (b,): the expected clean sample given a noisy one."""

NoiseSource = Callable[[], Tensor]
"""Fresh standard normal noise (b, c, h, w) at each call."""


def sample(
    denoiser: Denoiser,
    draw_noise: NoiseSource,
    settings: SamplerSettings,
    *,
    compat: CompatName = "paper",
    before_step: Callable[[], None] | None = None,
) -> Float32[Tensor, "b c h w"]:
    """Draw a batch of samples, of the shape and on the device of what `draw_noise` returns.

    `before_step` is called in each step, after its churn and before the denoiser.
    Determinism: the same noise, device and dtype give the same bits. `draw_noise` is called once, and once
    more for each step with churn.
    """
    schedule = karras_schedule(
        settings.num_steps, sigma_min=settings.sigma_min, sigma_max=settings.sigma_max, rho=settings.rho
    )
    sigmas: list[float] = schedule.tolist()
    x = draw_noise() * (sigmas[0] if compat == "paper" else 1.0)
    for sigma, next_sigma in pairwise(sigmas):
        x, sigma_hat = _churn(x, sigma, settings, draw_noise)
        if before_step is not None:
            before_step()
        told = sigma_hat if compat == "paper" else sigma
        d = _slope(denoiser, x, sigma_hat, told=told)
        x = _advance(denoiser, x, d, sigma_hat, next_sigma, second_order=settings.method == "heun")
    return x


def _churn(
    x: Tensor, sigma: float, settings: SamplerSettings, draw_noise: NoiseSource
) -> tuple[Tensor, float]:
    """Raise the noise from `sigma` to sigma_hat by adding fresh noise (algorithm 2, lines 4 to 6)."""
    s_tmax = math.inf if settings.s_tmax is None else settings.s_tmax
    is_inside = settings.s_tmin <= sigma <= s_tmax
    if settings.s_churn == 0 or not is_inside:
        return x, sigma
    gamma = min(settings.s_churn / settings.num_steps, math.sqrt(2) - 1)
    sigma_hat = sigma * (1 + gamma)
    return x + draw_noise() * settings.s_noise * math.sqrt(sigma_hat**2 - sigma**2), sigma_hat


def _advance(
    denoiser: Denoiser, x: Tensor, d: Tensor, sigma: float, next_sigma: float, *, second_order: bool
) -> Tensor:
    """Move from `sigma` to `next_sigma` along dx/dsigma = (x - D(x; sigma)) / sigma, which is `d` at x."""
    euler = x + d * (next_sigma - sigma)
    # The slope at zero noise is not defined: the last step is Euler's in both methods.
    if not second_order or next_sigma == 0:
        return euler
    next_d = _slope(denoiser, euler, next_sigma, told=next_sigma)
    return x + (d + next_d) / 2 * (next_sigma - sigma)


def _slope(denoiser: Denoiser, x: Tensor, sigma: float, *, told: float) -> Tensor:
    """dx/dsigma at `sigma`, by a denoiser that is told the level `told`."""
    denoised = denoiser(x, torch.full((x.shape[0],), told, device=x.device))
    return (x - denoised) / sigma
