"""The reader finds the player exactly in true frames, in blurred ones too, and nobody where nobody is."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from worldgen_core.games.base import TrueTileState
from worldgen_core.games.overworld_map import World
from worldgen_core.games.overworld_player import ScriptedPlayer
from worldgen_core.games.overworld_reader import find_view, measure_reader, read_state
from worldgen_core.games.overworld_render import Figure, draw
from worldgen_core.games.overworld_simulator import OverworldSimulator, Situation, record_size, start_of
from worldgen_core.games.overworld_town import make_world

Pair = tuple[np.ndarray, TrueTileState]


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(0)


@pytest.fixture(scope="module")
def pairs(world: World) -> list[Pair]:
    """A hundred frames from all over a recording."""
    simulator, player = OverworldSimulator(world, start_of(world, 0)), ScriptedPlayer(world, 0)
    found = []
    for index in range(3000):
        simulator.advance(player.act(simulator.situation))
        if index % 30 == 0:
            found.append((simulator.frame, simulator.state))
    return found


def test_true_frames_are_read_without_error(pairs: list[Pair]):
    error = measure_reader(pairs)
    assert error.num_frames > 80
    assert (error.found_share, error.position_error, error.facing_share) == (1.0, 0.0, 1.0)


def blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frame: cv2.GaussianBlur(frame, (0, 0), sigma)


def noisy(frame: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 12, frame.shape)
    return np.clip(np.round(frame + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "worsen", [blurred(0.5), blurred(1.0), noisy, lambda frame: noisy(blurred(0.7)(frame))]
)
def test_dreamlike_frames_are_read_too(pairs: list[Pair], worsen):
    error = measure_reader((worsen(frame), state) for frame, state in pairs[::3])
    assert error.found_share >= 0.95
    assert error.position_error < 0.5
    assert error.facing_share >= 0.98


def test_nobody_is_found_in_frames_without_the_player(world: World):
    for area, x, y in world.free_tiles()[::17]:
        state = OverworldSimulator(world, Situation(area, x, y, "down")).state
        people = [
            Figure(talker.x * 16, talker.y * 16, talker.look, talker.facing)
            for talker in world.areas[area].talkers
            if talker.look is not None
        ]
        frame = record_size(draw(world, area, (state.camera_x, state.camera_y), people))
        assert not read_state(frame).found


def test_two_players_are_no_player(world: World):
    simulator = OverworldSimulator(world, Situation(0, 12, 18, "down"))
    state, frame = simulator.state, simulator.frame
    row, column = int(state.y) // 2 - 4, int(state.x) // 2
    frame[row : row + 12, column + 30 : column + 38] = frame[row : row + 12, column : column + 8]
    assert not read_state(frame).found


def test_black_and_blank_frames_show_nobody():
    for value in (0, 128, 255):
        assert not read_state(np.full((80, 120, 3), value, np.uint8)).found


def test_the_view_is_found_on_the_map(world: World, pairs: list[Pair]):
    for frame, state in pairs[::4]:
        if state.found and not state.is_dialog:
            assert find_view(blurred(0.7)(frame), world)[:3] == (state.map_id, state.camera_x, state.camera_y)
