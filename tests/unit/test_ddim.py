"""Discrete-time diffusion: its schedule, v, and samples of a Gaussian, whose v is known exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from worldgen_core.diffusion.ddim import VelocityModel, add_noise, clean_estimate, draw, make_scheduler
from worldgen_core.diffusion.ddim_settings import DdimSettings, NoiseScheduleSettings

SCHEDULER = make_scheduler(NoiseScheduleSettings())
SHARES = SCHEDULER.alphas_cumprod
LAST = len(SHARES) - 1


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gaussian_velocity(mean: float, std: float) -> VelocityModel:
    """The exact v of data that are N(mean, std²): E[v | x] follows from E[clean | x]."""

    def velocity(x: Tensor, level: Tensor) -> Tensor:
        share = SHARES[level][:, None, None, None].double()
        gain = share.sqrt() * std**2 / (share * std**2 + 1 - share)
        clean = mean + gain * (x.double() - share.sqrt() * mean)
        noise = (x.double() - share.sqrt() * clean) / (1 - share).sqrt()
        return (share.sqrt() * noise - (1 - share).sqrt() * clean).float()

    return velocity


def test_the_schedule_ends_in_noise_alone_and_falls_all_the_way() -> None:
    assert SHARES[LAST] == 0
    assert SHARES[0] > 0.999
    assert (SHARES[1:] < SHARES[:-1]).all()


def test_sampling_starts_where_training_ends_and_steps_back_evenly() -> None:
    SCHEDULER.set_timesteps(4)
    assert SCHEDULER.timesteps.tolist() == [999, 749, 499, 249]


def test_at_the_last_level_nothing_shows_through_and_v_is_the_sample_itself() -> None:
    clean, noise, last = normal(3, 4, 2, 2), normal(3, 4, 2, 2, seed=1), torch.full((3,), LAST)
    noisy = add_noise(SCHEDULER, clean, noise, last)
    assert torch.equal(noisy.x, noise)
    assert torch.equal(noisy.velocity, -clean)


def test_v_of_a_known_sample_gives_the_sample_back_at_every_level() -> None:
    level = torch.tensor([0, 10, 500, 998, LAST])
    clean, noise = 4 * normal(5, 4, 3, 2), normal(5, 4, 3, 2, seed=1)
    noisy = add_noise(SCHEDULER, clean, noise, level)
    shares = SHARES[level][:, None, None, None]
    torch.testing.assert_close(noisy.x, shares.sqrt() * clean + (1 - shares).sqrt() * noise)
    torch.testing.assert_close(noisy.velocity, shares.sqrt() * noise - (1 - shares).sqrt() * clean)
    torch.testing.assert_close(clean_estimate(SCHEDULER, noisy.x, noisy.velocity, level), clean)


def test_one_step_is_the_mean_of_the_data() -> None:
    drawn = draw(SCHEDULER, gaussian_velocity(7.0, 0.5), normal(2, 1, 2, 2), num_steps=1)
    torch.testing.assert_close(drawn, torch.full_like(drawn, 7.0))


def test_samples_of_a_gaussian_come_closer_to_it_with_every_step() -> None:
    """Exactly, noise n becomes mean + std n. Values beyond [-1, 1] show that nothing is clipped."""
    noise, mean, std = normal(2, 1, 3, 3), 3.0, 0.5
    model = gaussian_velocity(mean, std)
    drawn = [draw(SCHEDULER, model, noise, num_steps=num_steps) for num_steps in (1, 4, 50, 1000)]
    errors = [float((one - (mean + std * noise)).abs().max()) for one in drawn]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("num_steps", [1, 4, 10])
def test_steps_are_those_of_diffusers(num_steps: int) -> None:
    model, x = gaussian_velocity(1.0, 2.0), normal(2, 1, 3, 3)
    drawn = draw(SCHEDULER, model, x, num_steps=num_steps)
    for level in SCHEDULER.timesteps.tolist():
        x = SCHEDULER.step(model(x, torch.full((2,), level)), level, x, return_dict=False)[0]
    torch.testing.assert_close(drawn, x)


def test_a_known_sample_comes_back_whatever_the_number_of_steps() -> None:
    clean, noise = normal(2, 4, 3, 3), normal(2, 4, 3, 3, seed=1)

    def known(_: Tensor, level: Tensor) -> Tensor:
        return add_noise(SCHEDULER, clean, noise, level).velocity

    for num_steps in (1, 3, 4, 30):
        drawn = draw(SCHEDULER, known, noise, num_steps=num_steps)
        torch.testing.assert_close(drawn, clean, rtol=1e-4, atol=1e-4)


def test_guidance_of_one_costs_half() -> None:
    assert (DdimSettings(guidance=1.0).num_rows, DdimSettings().num_rows) == (1, 2)
