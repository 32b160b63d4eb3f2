"""Noise schedules: decreasing, with the asked ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldgen_core.diffusion.schedules import karras_schedule
from worldgen_core.errors import ConfigError


@settings(derandomize=True, deadline=None)
@given(
    num_steps=st.integers(1, 50),
    sigma_min=st.floats(1e-3, 0.1),
    ratio=st.floats(2.0, 1e3),
    rho=st.floats(1.0, 10.0),
)
def test_schedule_is_decreasing_between_its_ends(
    num_steps: int, sigma_min: float, ratio: float, rho: float
) -> None:
    sigma_max = sigma_min * ratio
    levels = karras_schedule(num_steps, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho).tolist()
    assert len(levels) == num_steps + 1
    assert levels[0] == pytest.approx(sigma_max, rel=1e-6)
    assert levels[-1] == 0
    assert num_steps == 1 or levels[-2] == pytest.approx(sigma_min, rel=1e-5)
    assert all(above > below for above, below in pairwise(levels))


def test_three_karras_steps_as_computed_by_hand() -> None:
    middle = ((5 ** (1 / 7) + 0.002 ** (1 / 7)) / 2) ** 7
    levels = karras_schedule(3, sigma_min=0.002, sigma_max=5.0, rho=7.0).tolist()
    assert levels == pytest.approx([5.0, middle, 0.002, 0.0])


@pytest.mark.parametrize(
    ("num_steps", "sigma_min", "sigma_max", "rho"),
    [(0, 0.1, 1.0, 7.0), (3, 1.0, 0.1, 7.0), (3, 0.0, 1.0, 7.0), (3, 0.1, 1.0, 0.0)],
)
def test_impossible_schedules_are_refused(
    num_steps: int, sigma_min: float, sigma_max: float, rho: float
) -> None:
    with pytest.raises(ConfigError, match="sampling schedule"):
        karras_schedule(num_steps, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
