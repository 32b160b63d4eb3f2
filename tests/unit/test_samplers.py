"""Samplers on normal data, whose denoiser and whose sampling path are known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from worldgen_core.diffusion.samplers import SamplerSettings, sample

MEAN, STD = 0.4, 0.7
SHAPE = (64, 1, 16, 16)


def exact_denoiser(x: Tensor, sigma: Tensor) -> Tensor:
    """D(x; sigma) of N(MEAN, STD^2)."""
    return MEAN + (x - MEAN) * (STD**2 / (STD**2 + sigma**2))[:, None, None, None]


def exact_end(sigma_max: float, seed: int) -> Tensor:
    """Where the sampling path ends: distances from the mean shrink as the standard deviation does."""
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) * sigma_max
    return MEAN + (start - MEAN) * STD / math.sqrt(STD**2 + sigma_max**2)


def drawn(seed: int = 0, **settings: object) -> Tensor:
    chosen = SamplerSettings.model_validate({"sigma_max": 20.0, **settings})
    return sample(exact_denoiser, noise_source(seed), chosen)


def noise_source(seed: int) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(SHAPE, generator=generator)


@pytest.mark.parametrize(("method", "num_steps", "tolerance"), [("euler", 200, 0.05), ("heun", 60, 0.01)])
def test_samples_follow_the_exact_path(method: str, num_steps: int, tolerance: float) -> None:
    torch.testing.assert_close(
        drawn(method=method, num_steps=num_steps), exact_end(20.0, 0), rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("s_churn", [0.0, 20.0])
def test_samples_have_the_right_moments(s_churn: float) -> None:
    x = drawn(method="heun", num_steps=60, s_churn=s_churn)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, rel=0.02)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2)])
def test_error_falls_with_the_methods_order(method: str, order: int) -> None:
    errors = [
        (drawn(method=method, num_steps=num, sigma_min=0.02, sigma_max=2.0) - exact_end(2.0, 0))
        .abs()
        .max()
        .item()
        for num in (40, 80)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_one_step_heun_is_euler() -> None:
    assert torch.equal(drawn(method="heun", num_steps=1), drawn(method="euler", num_steps=1))


def test_one_step_is_the_denoised_start() -> None:
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)) * 20.0
    torch.testing.assert_close(
        drawn(num_steps=1), exact_denoiser(start, torch.full((64,), 20.0)), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("method", "num_calls"), [("euler", 3), ("heun", 5)])
def test_number_of_network_calls(method: str, num_calls: int) -> None:
    levels: list[float] = []

    def counting(x: Tensor, sigma: Tensor) -> Tensor:
        levels.append(sigma[0].item())
        return exact_denoiser(x, sigma)

    settings = SamplerSettings.model_validate({"method": method, "num_steps": 3})
    sample(counting, noise_source(0), settings)
    assert len(levels) == num_calls
    assert levels == sorted(levels, reverse=True)


def test_same_seed_same_bits_and_churn_adds_noise() -> None:
    assert torch.equal(drawn(seed=5, num_steps=4, s_churn=2.0), drawn(seed=5, num_steps=4, s_churn=2.0))
    assert not torch.equal(drawn(seed=5, num_steps=4, s_churn=2.0), drawn(seed=5, num_steps=4))


def test_churn_acts_only_inside_its_range() -> None:
    quiet = drawn(num_steps=4)
    assert torch.equal(drawn(num_steps=4, s_churn=2.0, s_tmin=100.0), quiet)
    assert torch.equal(drawn(num_steps=4, s_churn=2.0, s_tmax=1e-9), quiet)


def test_levels_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be below"):
        SamplerSettings(sigma_min=5.0, sigma_max=1.0)
