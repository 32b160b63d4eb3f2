"""Pictures survive the way into a model's range and back."""

from __future__ import annotations

import torch

from worldgen_core.ranges import to_u8, to_unit


def test_all_256_levels_survive_ten_round_trips() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    obs = levels
    for _ in range(10):
        obs = to_u8(to_unit(obs))
        assert torch.equal(obs, levels)


def test_rounding_is_to_the_nearest_level_and_clamped() -> None:
    unit = to_unit(torch.tensor([10, 11], dtype=torch.uint8))
    between = unit[0] + torch.tensor([0.4, 0.6]) * (unit[1] - unit[0])
    assert to_u8(between).tolist() == [10, 11]
    assert to_u8(torch.tensor([-1.5, -1.0, 1.0, 7.0])).tolist() == [0, 0, 255, 255]


def test_unit_range_ends_at_plus_and_minus_one() -> None:
    ends = to_unit(torch.tensor([0, 255], dtype=torch.uint8))
    assert ends.tolist() == [-1.0, 1.0]
