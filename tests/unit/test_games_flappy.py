"""Flappy Bird: the fast picture is the game's own, lives are repeatable, the true state is true."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from flappy_bird_gymnasium.envs.flappy_bird_env import FlappyBirdEnv

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Opening, TrueState
from worldgen_core.games.flappy import GAME, PIPE_ENTERS, PIPE_IS_LATE
from worldgen_core.games.flappy_features import features
from worldgen_core.games.flappy_rules import rule
from worldgen_core.games.flappy_simulator import FlappySimulator


def presses(share: float) -> Callable[[TrueState], int]:
    rng = np.random.default_rng(0)
    return lambda _state: int(rng.random() < share)


def keeps(margin: float) -> Callable[[TrueState], int]:
    return lambda state: rule(state, margin)


@pytest.mark.parametrize(
    ("seed", "player", "num_frames"),
    [
        (0, keeps(8.0), 160),
        (1, keeps(30.0), 160),
        (2, presses(0.0), 40),
        (3, presses(1.0), 60),
        (4, presses(0.08), 80),
    ],
)
def test_frames_are_the_shrunken_pictures_of_the_environment(seed, player, num_frames):
    """Byte for byte, off the top of the picture, through pipes, on the ground and in the crash frame."""
    env = FlappyBirdEnv(use_lidar=False, render_mode="rgb_array")
    env.reset(seed=seed)
    simulator = FlappySimulator(seed)
    for _ in range(num_frames):
        picture = cv2.resize(np.ascontiguousarray(env.render()), (72, 128), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(simulator.frame, picture)
        if not simulator.state.is_alive:
            break
        action = player(simulator.state)
        reward, terminated = simulator.advance(action)
        assert (reward, terminated) == env.step(action)[1:3]


def test_a_life_does_not_depend_on_the_one_before():
    fresh, used = FlappySimulator(7), FlappySimulator(8)
    for _ in range(11):
        used.advance(0)
    used.reset(7)
    for action in (0, 1, 0, 0, 0, 1, 0, 0):
        one, other = fresh.step(action), used.step(action)
        np.testing.assert_array_equal(one.frame, other.frame)
        assert one[1:] == other[1:]


def test_a_finished_life_cannot_be_played_on():
    simulator = FlappySimulator(0)
    while simulator.state.is_alive:
        simulator.advance(0)
    with pytest.raises(ConfigError, match="reset"):
        simulator.step(0)


def test_never_flapping_dies_at_frame_31_and_a_flap_rises_nine_pixels():
    simulator = FlappySimulator(0)
    start = simulator.state.height
    simulator.advance(1)
    assert (simulator.state.height, simulator.state.speed) == (start - 9, -9)
    simulator.reset(0)
    survived = next(frame for frame in range(1, 100) if simulator.advance(0)[1])
    assert survived == 31
    assert not simulator.state.is_alive


def test_the_bird_can_leave_the_picture():
    simulator = FlappySimulator(0)
    for _ in range(35):
        simulator.advance(1)
    assert simulator.state.height < -24
    assert not simulator.state.found


def test_new_pipes_enter_when_the_assumptions_say_so():
    """Oversampling finds its windows from a life's first frame; here every entry of 400 frames is counted."""
    rewards, entered = [], []
    simulator = FlappySimulator(11)
    for frame in range(400):
        if any(opening.x >= 284 for opening in simulator.state.openings):
            entered.append(frame)
        reward, terminated = simulator.advance(rule(simulator.state, 8.0))
        assert not terminated
        rewards.append(reward)
    expected = PIPE_ENTERS.frames(np.array(rewards, np.float32), np.zeros(400, bool))
    assert entered == expected.tolist()
    late = PIPE_IS_LATE.frames(np.array(rewards, np.float32), np.zeros(400, bool))
    gaps = dict(zip(entered[1:], np.diff(entered).tolist(), strict=True))
    assert [gaps[int(frame) + 3] for frame in late] == [41] * 3


def test_features_are_relative_to_the_bird():
    holes = (Opening(0.0, 100.0, 200.0), Opening(107.0, 100.0, 200.0), Opening(257.0, 150.0, 250.0))
    state = TrueState(True, 138.0, holes, speed=-9.0, rotation=0.0, is_alive=True)
    np.testing.assert_allclose(features(state), [2.0, 0.0, 4.0, 2.0, -1.8, -0.5], rtol=1e-6)


def test_holes_out_of_sight_count_as_central_ones_at_the_border():
    state = TrueState(True, 244.0, (), speed=0.0, rotation=0.0, is_alive=True)
    np.testing.assert_allclose(features(state), [9.24, 0, 4.62, 0, 0, 0.56], atol=1e-6)


def test_the_game_knows_its_sizes():
    frame = GAME.make_simulator(0).frame
    assert frame.shape == (GAME.height, GAME.width, 3) == (128, 72, 3)
    assert frame.dtype == np.uint8
    assert set(GAME.keymap.values()) == {GAME.action_names.index("flap")}
