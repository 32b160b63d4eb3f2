"""EDM formulas against hand-computed and closed-form values."""

from __future__ import annotations

import math

import pytest
import torch

from worldgen_core.diffusion.edm import EdmSettings, add_noise, preconditioners, training_sigma
from worldgen_core.diffusion.losses import edm_loss, kl_to_standard_normal, weight_of_change


def test_preconditioners_match_values_computed_by_hand() -> None:
    factors = preconditioners(torch.tensor([0.5]), sigma_data=0.5)
    assert factors.c_skip.item() == pytest.approx(0.5)
    assert factors.c_out.item() == pytest.approx(0.5 / math.sqrt(2))
    assert factors.c_in.item() == pytest.approx(math.sqrt(2))
    assert factors.c_noise.item() == pytest.approx(math.log(0.5) / 4)


def test_offset_noise_adds_to_the_variance() -> None:
    with_offset = preconditioners(torch.tensor([0.4]), sigma_data=1.0, sigma_offset_noise=0.3)
    without = preconditioners(torch.tensor([0.5]), sigma_data=1.0)
    for one, other in zip(with_offset, without, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_input_and_target_have_unit_variance_at_every_noise_level(sigma_data: float) -> None:
    sigma = torch.logspace(-3, 2, 30)
    c_in, c_out, c_skip, _ = (value.flatten() for value in preconditioners(sigma, sigma_data=sigma_data))
    torch.testing.assert_close(c_in**2 * (sigma_data**2 + sigma**2), torch.ones(30))
    # Var[x - c_skip (x + noise)] = (1 - c_skip)^2 sigma_data^2 + c_skip^2 sigma^2 = c_out^2
    target_variance = (1 - c_skip) ** 2 * sigma_data**2 + c_skip**2 * sigma**2
    torch.testing.assert_close(target_variance / c_out**2, torch.ones(30), rtol=1e-4, atol=0)


def test_loss_of_the_silent_network_on_normal_data_is_one() -> None:
    """For N(0, sigma_data^2) data the exact denoiser is c_skip x, so F = 0 is optimal and the loss is 1."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(8, 4, 32, 32, generator=generator) * 0.7
    sigma = training_sigma(8, EdmSettings(), generator)
    noisy = add_noise(clean, sigma, sigma_offset_noise=0.0, generator=generator)
    factors = preconditioners(sigma, sigma_data=0.7)
    result = edm_loss(lambda x, _: torch.zeros_like(x), clean, noisy, factors)
    torch.testing.assert_close(result.loss, torch.ones(8), rtol=0.06, atol=0)
    torch.testing.assert_close(result.clean, factors.c_skip * noisy)


def test_loss_is_the_denoisers_error_over_c_out_squared() -> None:
    generator = torch.Generator().manual_seed(1)
    clean = torch.randn(3, 2, 4, 4, generator=generator)
    sigma = torch.tensor([0.1, 1.0, 5.0])
    noisy = add_noise(clean, sigma, sigma_offset_noise=0.1, generator=generator)
    factors = preconditioners(sigma, sigma_data=1.0, sigma_offset_noise=0.1)
    weight = torch.rand(3, 1, 4, 4, generator=generator)
    result = edm_loss(
        lambda x, c_noise: x.sin() + c_noise[:, None, None, None], clean, noisy, factors, weight=weight
    )
    by_hand = ((result.clean - clean) ** 2 / factors.c_out**2 * weight).mean(dim=(1, 2, 3))
    torch.testing.assert_close(result.loss, by_hand, rtol=1e-4, atol=1e-6)


def test_noise_has_the_asked_level_and_offset() -> None:
    generator = torch.Generator().manual_seed(2)
    zeros = torch.zeros(400, 3, 8, 8)
    noisy = add_noise(zeros, torch.full((400,), 2.0), sigma_offset_noise=0.5, generator=generator)
    assert noisy.std().item() == pytest.approx(math.sqrt(4.25), rel=0.02)
    # Averaged over places the white part shrinks by 8 and the offset stays.
    assert noisy.mean(dim=(2, 3)).std().item() == pytest.approx(math.sqrt(4 / 64 + 0.25), rel=0.05)


def test_training_sigma_is_clipped_log_normal() -> None:
    settings = EdmSettings(loc=-1.2, scale=1.2, sigma_min=0.1, sigma_max=1.0)
    sigma = training_sigma(4000, settings, torch.Generator().manual_seed(3))
    assert sigma.min().item() == pytest.approx(0.1)
    assert sigma.max().item() == pytest.approx(1.0)
    assert sigma.median().log().item() == pytest.approx(-1.2, abs=0.06)


def test_kl_matches_values_computed_by_hand() -> None:
    zeros = torch.zeros(1, 1, 1, 1)
    assert kl_to_standard_normal(zeros, zeros).item() == 0
    assert kl_to_standard_normal(zeros + 2, zeros).item() == pytest.approx(2.0)
    assert kl_to_standard_normal(zeros, zeros + math.log(4)).item() == pytest.approx((3 - math.log(4)) / 2)


def test_change_counts_where_it_is_and_beside_it() -> None:
    before = torch.zeros(1, 4, 7, 7)
    clean = before.clone()
    clean[0, 0, 3, 3] = 2.0  # a mean over four channels of 0.5
    expected = torch.ones(1, 1, 7, 7)
    expected[..., 2:5, 2:5] = 1 + 10 * 0.5
    torch.testing.assert_close(weight_of_change(before, clean, 10.0), expected)
    torch.testing.assert_close(weight_of_change(before, clean, 0.0), torch.ones(1, 1, 7, 7))
