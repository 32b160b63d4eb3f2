"""The dream of the overworld against its true simulator: a frame is taken for the game that it shows."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from worldgen_core.evaluation.tracked import Tracked
from worldgen_core.evaluation.tries import Recording
from worldgen_core.evaluation.true_panel import TrueTry, TrueWorld, choose_true_tries, true_panel
from worldgen_core.evaluation.ways import find_ways
from worldgen_core.games.catalogue import get_tile_game
from worldgen_core.games.overworld_finding import locate
from worldgen_core.games.overworld_player import ScriptedPlayer
from worldgen_core.games.overworld_simulator import OverworldSimulator, start_of
from worldgen_core.games.overworld_town import make_world
from worldgen_core.tracking.camera import CameraTrack
from worldgen_core.tracking.motion import world_motion
from worldgen_core.tracking.settings import FACINGS, Facing, TrackingSettings
from worldgen_core.tracking.track import PlayerTrack

GAME = get_tile_game("overworld")
TRUE = TrueWorld(GAME, 0)
KEYS: list[Facing | None] = [None, *FACINGS, None, None, None]
TRACKING = GAME.assumptions.tracking or TrackingSettings()


def play(num_frames: int, seed: int = 1) -> tuple[list[np.ndarray], list[int], list]:
    """Frames at 15 a second, what was pressed, and the true states."""
    world = make_world(0)
    simulator, player = OverworldSimulator(world, start_of(world, seed)), ScriptedPlayer(world, seed)
    frames, actions, states = [], [], []
    for _ in range(num_frames):
        frames.append(simulator.frame)
        states.append(simulator.state)
        actions.append(player.act(simulator.situation))
        simulator.advance(actions[-1])
    return frames, actions, states


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Half a minute, with a perfect track of it."""
    frames, actions, states = play(450)
    places = np.array([(state.y // 2, state.x // 2) for state in states]).astype(np.int64)
    cameras = np.array([(state.camera_y // 2, state.camera_x // 2) for state in states], np.int64)
    count = len(frames)
    found = np.array([state.found for state in states])
    is_cut = np.append(False, np.diff([state.map_id for state in states]) != 0) | ~found
    shift = np.diff(cameras, axis=0, prepend=cameras[:1])
    shift[is_cut] = 0
    camera = CameraTrack(shift, np.ones(count, np.float32), is_cut, np.zeros(count, np.bool_))
    facing = np.array([FACINGS.index(state.facing) for state in states])
    player = PlayerTrack(found, places, facing, facing, np.ones(count, np.float32))
    tracked, keys = Tracked(camera, player, world_motion(camera, player)), np.array(actions, np.int64)
    return Recording(np.stack(frames), keys, tracked, find_ways(tracked, keys, KEYS, TRACKING), ())


@pytest.fixture(scope="module")
def tries(recording: Recording) -> list[TrueTry]:
    return choose_true_tries(
        [recording],
        TRUE,
        facings=KEYS,
        num_context_frames=4,
        num_starts=20,
        num_frames=32,
        wall_frames=8,
    )


def test_a_frame_is_taken_for_the_game_that_it_shows() -> None:
    frames, _, states = play(400, seed=2)
    pairs = list(zip(frames, states, strict=True))[::7]
    checked = [(frame, state) for frame, state in pairs if not (state.is_dialog or state.is_fading)]
    assert len(checked) > 30
    for frame, state in checked:
        found = locate(cv2.GaussianBlur(frame, (0, 0), 0.6), 0)
        assert found is not None
        assert found.state == state
    assert locate(np.zeros((80, 120, 3), np.uint8), 0) is None


def test_walks_follow_the_recording_and_walls_are_those_of_the_simulator(
    tries: list[TrueTry], recording: Recording
) -> None:
    walks, walls = ([own for own in tries if own.kind == kind] for kind in ("walk", "wall"))
    assert min(len(walks), len(walls)) >= 4
    for own in walks:
        assert own.action.tolist() == recording.action[own.first : own.first + 32].tolist()
        np.testing.assert_array_equal(own.frame, recording.frames[own.first + 32])
    for own in walls:
        begin = TRUE.look(recording.frames[own.first])
        assert begin is not None
        assert (own.state.tile_x, own.state.tile_y) == (begin.tile_x, begin.tile_y)
        assert own.state.facing == KEYS[own.action[0]]


def test_what_the_simulator_cannot_show_is_no_start() -> None:
    assert TRUE.play(np.full((80, 120, 3), 128, np.uint8), np.zeros(3, np.int64)) is None
    frame = OverworldSimulator(make_world(0), start_of(make_world(0), 3)).frame
    assert TRUE.play(frame, np.zeros(3, np.int64)) is not None
    frame[-30:] = 255
    assert TRUE.play(frame, np.zeros(3, np.int64)) is None, "somebody speaks"


def dreams(tries: list[TrueTry], frames: list[np.ndarray]) -> list[np.ndarray]:
    """Dreams whose last frame is given."""
    return [np.repeat(frame[None], len(own.action), axis=0) for own, frame in zip(tries, frames, strict=True)]


def test_the_truth_agrees_and_what_is_elsewhere_or_faces_elsewhere_does_not(
    tries: list[TrueTry], recording: Recording
) -> None:
    truth = true_panel(tries, dreams(tries, [own.frame for own in tries]), TRUE, num_frames=32)
    assert (truth["true_tile_share"], truth["true_wall_share"]) == (1, 1)
    assert (truth["reader_true_tile_share"], truth["reader_true_wall_share"]) == (1, 1)
    frozen = true_panel(
        tries, dreams(tries, [recording.frames[own.first] for own in tries]), TRUE, num_frames=32
    )
    assert frozen["true_tile_share"] < 0.5
    assert frozen["wall_place_share"] == 1
    assert frozen["true_wall_share"] < 0.7, "it does not turn to the wall"
    black = true_panel(tries, dreams(tries, [np.zeros_like(own.frame) for own in tries]), TRUE, num_frames=32)
    assert (black["true_tile_share"], black["walk_found_share"]) == (0, 0)


def test_half_a_tile_is_too_far_and_so_is_another_map(tries: list[TrueTry]) -> None:
    shown = dreams(tries, [own.frame for own in tries])

    def moved(**changes: int) -> float:
        states = [
            replace(own.state, **{name: getattr(own.state, name) + by for name, by in changes.items()})
            for own in tries
        ]
        others = [replace(own, state=state) for own, state in zip(tries, states, strict=True)]
        return true_panel(others, shown, TRUE, num_frames=32)["true_tile_share"]

    assert moved(camera_x=7) == 1
    assert moved(camera_x=8) == moved(camera_y=-8) == moved(map_id=1) == 0
