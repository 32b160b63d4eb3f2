"""What presses came to, on motions written down by hand."""

from __future__ import annotations

import numpy as np
import pytest

from worldgen_core.tracking.camera import CameraTrack
from worldgen_core.tracking.motion import WorldMotion, find_fades
from worldgen_core.tracking.presses import find_presses
from worldgen_core.tracking.settings import TrackingSettings

NAMES = ("none", "up", "down", "left", "right", "a")
SETTINGS = TrackingSettings(
    tile_px=8, movement={"up": "up", "down": "down", "left": "left", "right": "right"}
)
RIGHT = 4


def motion_of(steps: list[int], unknown: tuple[int, ...] = ()) -> WorldMotion:
    """Motion along x, frame by frame."""
    motion = np.array([(0, step) for step in steps], np.int64)
    is_known = np.ones(len(steps), np.bool_)
    is_known[list(unknown)] = False
    motion[~is_known] = 0
    return WorldMotion(motion, is_known)


def held(*runs: tuple[int, int]) -> np.ndarray:
    return np.concatenate([np.full(count, action) for action, count in runs])


def test_a_tap_runs_on_to_the_edge():
    motion = motion_of([0] * 5 + [2] * 4 + [0] * 4)
    (press,) = find_presses(motion, held((0, 4), (RIGHT, 1), (0, 8)), NAMES, SETTINGS)
    assert (press.frame, press.outcome, press.distance, press.stop) == (4, "moved", 8, 9)
    assert press.is_tap
    assert press.ends_on_edge(SETTINGS)


def test_a_step_that_stops_half_way_does_not_end_on_an_edge():
    motion = motion_of([0] * 5 + [2] * 3 + [0] * 5)
    (press,) = find_presses(motion, held((0, 4), (RIGHT, 1), (0, 8)), NAMES, SETTINGS)
    assert not press.ends_on_edge(SETTINGS)
    assert press.ends_on_edge(TrackingSettings())


@pytest.mark.parametrize(
    ("steps", "count", "outcome"),
    [
        ([0] * 13, 5, "blocked"),
        ([0] * 13, 1, "unknown"),
        ([0] * 6 + [-2] * 4 + [0] * 3, 5, "wrong"),
        ([0] * 7 + [2] * 6, 5, "moved"),
    ],
)
def test_outcomes(steps, count, outcome):
    (press,) = find_presses(motion_of(steps), held((0, 4), (RIGHT, count), (0, 9 - count)), NAMES, SETTINGS)
    assert press.outcome == outcome


def test_a_player_that_is_lost_leaves_the_outcome_open():
    actions = held((0, 4), (RIGHT, 5), (0, 4))
    (press,) = find_presses(motion_of([0] * 13, unknown=(6,)), actions, NAMES, SETTINGS)
    assert press.outcome == "unknown"
    (press,) = find_presses(motion_of([0] * 5 + [2] * 3 + [0] * 5, unknown=(8,)), actions, NAMES, SETTINGS)
    assert (press.outcome, press.distance, press.stop) == ("moved", 6, -1)


def test_only_presses_from_rest_by_keys_that_walk_count():
    motion = motion_of([0] * 3 + [2] * 10)
    assert find_presses(motion, held((0, 6), (RIGHT, 7)), NAMES, SETTINGS) == []
    still = motion_of([0] * 13)
    assert find_presses(still, held((0, 6), (5, 7)), NAMES, SETTINGS) == []
    assert find_presses(still, held((0, 6), (RIGHT, 7)), NAMES, TrackingSettings()) == []


def test_cuts_close_to_black_belong_to_one_fade():
    is_cut, is_dark = np.zeros((2, 30), np.bool_)
    is_cut[[8, 12, 25]] = True
    is_dark[9:12] = True
    camera = CameraTrack(np.zeros((30, 2), np.int64), np.ones(30, np.float32), is_cut, is_dark)
    assert find_fades(camera) == [(8, 13, True), (25, 26, False)]
    assert find_fades(CameraTrack(camera.shift, camera.agreement, is_cut & False, is_dark & False)) == []
