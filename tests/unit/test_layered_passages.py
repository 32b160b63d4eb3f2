"""Doors: how a fade is read from footage, which remembered passage is taken, and what is shown on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldgen_core.models.layered_passages import (
    Passages,
    begin_journey,
    find_passage,
    join_passages,
    no_passages,
)
from worldgen_core.training.layered_doors import fade_levels

SIZE, SIDE = (8, 10), 24
LEFT = 2


def passage(grey: int, heading: int = LEFT) -> Passages:
    blank = no_passages(SIZE, SIDE, 1)
    level = blank.level.clone()
    level[0, :3] = torch.tensor([0.5, 0.0, 0.5])
    window = torch.full_like(blank.window, grey)
    window[:, 3] = 255
    return replace(blank, window=window, heading=torch.tensor([heading]), level=level, turn=torch.tensor([1]))


def test_a_fade_is_read_as_the_brightness_of_the_two_scenes() -> None:
    greys = [100, 75, 25, 0, 40, 60, 80]
    frames = np.stack([np.full((*SIZE, 3), grey, np.uint8) for grey in greys])
    levels, turn = fade_levels(frames)
    assert turn == 2
    assert levels.tolist() == pytest.approx([0.75, 0.25, 0.0, 0.5, 0.75])


def test_a_cut_has_no_fade() -> None:
    levels, turn = fade_levels(np.zeros((2, *SIZE, 3), np.uint8))
    assert len(levels) == 0
    assert turn == 0


def test_the_passage_with_the_most_similar_surroundings_is_taken() -> None:
    known = join_passages([passage(40), passage(90), passage(100, heading=0)])
    window = torch.full((4, SIDE, SIDE), 95, dtype=torch.uint8)
    window[3] = 255
    assert find_passage(known, window, LEFT) == 1
    assert find_passage(known, window, 0) == 2
    assert find_passage(known, window, 3) is None, "nobody left that way"


def test_unknown_or_strange_surroundings_are_no_passage() -> None:
    window = torch.full((4, SIDE, SIDE), 200, dtype=torch.uint8)
    assert find_passage(passage(40), window, LEFT) is None
    window[:] = 40
    assert find_passage(passage(40), window, LEFT) is None, "a window of which nothing is known"
    assert find_passage(no_passages(SIZE, SIDE), window, LEFT) is None


def test_a_journey_fades_out_of_one_scene_and_into_the_other() -> None:
    old = torch.full((*SIZE, 3), 200, dtype=torch.uint8)
    new = torch.full((*SIZE, 3), 100, dtype=torch.uint8)
    journey = begin_journey(passage(40), 0, old, new)
    assert [int(frame.max()) for frame in journey.fade] == [100, 0, 50]
