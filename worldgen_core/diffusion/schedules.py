"""Noise schedules for sampling: strictly decreasing levels that end in zero."""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from worldgen_core.errors import ConfigError


def karras_schedule(
    num_steps: int, *, sigma_min: float, sigma_max: float, rho: float
) -> Float32[Tensor, " steps_plus_one"]:
    """Return `num_steps` levels from `sigma_max` down to `sigma_min`, and a final 0.

    One step alone starts at `sigma_max`. A larger `rho` spends more of the steps at low noise.
    Source: Karras et al. 2022, equation 5.
    """
    if num_steps < 1 or not 0 < sigma_min < sigma_max or rho <= 0:
        raise ConfigError(
            "sampling schedule",
            expected="num_steps >= 1, 0 < sigma_min < sigma_max and rho > 0",
            found=f"num_steps={num_steps}, sigma_min={sigma_min}, sigma_max={sigma_max}, rho={rho}",
            next_step="correct the sampler's settings",
        )
    # Float64 inside: with rho = 7 float32 would miss sigma_max in the last digits.
    ramp = torch.linspace(0, 1, num_steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    sigma = (high + ramp * (low - high)) ** rho
    return torch.cat([sigma, sigma.new_zeros(1)]).float()
