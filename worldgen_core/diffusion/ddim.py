"""Discrete-time diffusion by diffusers' DDIM scheduler, as GameNGen uses it: v-prediction, few steps.

The schedule is Stable Diffusion's, rescaled to end in noise alone, and steps are spaced from that end
("trailing"; Lin et al. 2023, arXiv:2305.08891): sampling starts from pure noise, so training has to have seen
it. Nothing is clipped, since latents are not pixels. v-prediction: Salimans & Ho 2022, arXiv:2202.00512.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float32, Int64
from torch import Tensor

from worldgen_core.diffusion.ddim_settings import NoiseScheduleSettings

VelocityModel = Callable[[Tensor, Tensor], Tensor]
"""v(x, level), from x (b, c, h, w) and level (b,) int64."""


class NoisySample(NamedTuple):
    """A clean sample under noise of a level, and the v that a network has to say of it."""

    x: Float32[Tensor, "b c h w"]
    level: Int64[Tensor, " b"]
    velocity: Float32[Tensor, "b c h w"]


def make_scheduler(settings: NoiseScheduleSettings) -> DDIMScheduler:
    """Return diffusers' scheduler with all that its defaults get wrong for latents and few steps set."""
    return DDIMScheduler(
        num_train_timesteps=settings.num_levels,
        beta_start=settings.beta_start,
        beta_end=settings.beta_end,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


def add_noise(
    scheduler: DDIMScheduler,
    clean: Float32[Tensor, "b c h w"],
    noise: Float32[Tensor, "b c h w"],
    level: Int64[Tensor, " b"],
) -> NoisySample:
    """Return `clean` under `noise`, and v = sqrt(a) noise - sqrt(1 - a) clean, a being the signal's share."""
    x = scheduler.add_noise(clean, noise, level)  # pyright: ignore[reportArgumentType]  # any integer dtype
    velocity = scheduler.get_velocity(clean, noise, level)  # pyright: ignore[reportArgumentType]  # as above
    return NoisySample(x, level, velocity)


def clean_estimate(
    scheduler: DDIMScheduler,
    x: Float32[Tensor, "b c h w"],
    velocity: Float32[Tensor, "b c h w"],
    level: Int64[Tensor, " b"],
) -> Float32[Tensor, "b c h w"]:
    """Return the clean sample that `velocity` means: sqrt(a) x - sqrt(1 - a) v."""
    share = scheduler.alphas_cumprod.to(x.device)[level][:, None, None, None]
    return share.sqrt() * x - (1 - share).sqrt() * velocity


def draw(
    scheduler: DDIMScheduler, model: VelocityModel, noise: Float32[Tensor, "b c h w"], *, num_steps: int
) -> Float32[Tensor, "b c h w"]:
    """Draw a batch of samples from `noise` by deterministic DDIM steps.

    Cost: `num_steps` calls of `model`.
    Determinism: the same noise, device and dtype give the same bits.
    Source: Song et al. 2021 (arXiv:2010.02502), eta = 0. The scheduler's own `step` does the same where
    `num_steps` divides the number of levels; elsewhere it steps to levels that it does not go on from.
    """
    scheduler.set_timesteps(num_steps)
    levels, x = scheduler.timesteps.tolist(), noise
    shares = [*scheduler.alphas_cumprod[levels].tolist(), 1.0]
    for level, (share, next_share) in zip(levels, pairwise(shares), strict=True):
        told = torch.full((len(x),), level, dtype=torch.int64, device=x.device)
        velocity = model(x, told)
        clean = share**0.5 * x - (1 - share) ** 0.5 * velocity
        left = share**0.5 * velocity + (1 - share) ** 0.5 * x
        x = next_share**0.5 * clean + (1 - next_share) ** 0.5 * left
    return x
