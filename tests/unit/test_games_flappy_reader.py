"""The state reader: exact on true frames, patient with blur and noise, honest about ghosts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worldgen_core.games.base import TrueState
from worldgen_core.games.flappy import GAME
from worldgen_core.games.flappy_reader import read_state
from worldgen_core.games.flappy_render import Scene, render, render_without_bird
from worldgen_core.games.flappy_rules import PixelRulePlayer, rule
from worldgen_core.games.flappy_simulator import FlappySimulator


def rollout(seed: int, num_frames: int, margin: float = 8.0) -> list[tuple[np.ndarray, Scene, TrueState]]:
    simulator = FlappySimulator(seed)
    seen = []
    for _ in range(num_frames):
        seen.append((simulator.frame, simulator.scene, simulator.state))
        _, terminated = simulator.advance(rule(simulator.state, margin))
        if terminated:
            break
    return seen


SAMPLES = rollout(5, 200)[60::7]


def blend(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return np.rint(share * one + (1 - share) * other).astype(np.uint8)


def with_bird_at(scene: Scene, height: int) -> np.ndarray:
    return render(scene._replace(bird_y=height))


def without_bird(scene: Scene) -> np.ndarray:
    return render_without_bird(scene.ground_x, scene.pipes)


@pytest.mark.parametrize("margin", [0.0, 8.0, 30.0])
def test_true_frames_are_read_to_a_fraction_of_a_pixel(margin):
    for frame, _, state in rollout(3, 150, margin)[::3]:
        read = read_state(frame)
        assert read.found
        assert abs(read.height - state.height) < 0.3
        holes = [opening for opening in state.openings if -44 < opening.x < 280]
        for hole in holes:
            near = min(read.openings, key=lambda opening: abs(opening.x - hole.x))
            assert abs(near.x - hole.x) <= 1
            assert abs(near.top - hole.top) < 1
            assert abs(near.bottom - hole.bottom) < 1
        assert len(read.openings) <= len(state.openings)


def test_a_falling_bird_is_read_down_to_the_crash():
    simulator = FlappySimulator(0)
    while simulator.state.is_alive:
        simulator.advance(0)
        read = read_state(simulator.frame)
        assert read.found
        assert abs(read.height - simulator.state.height) < 1


def test_a_bird_out_of_the_picture_is_not_found():
    simulator = FlappySimulator(0)
    for _ in range(38):
        simulator.advance(1)
    read = read_state(simulator.frame)
    assert not read.found
    assert np.isnan(read.height)


@pytest.mark.parametrize("sigma", [0.6, 0.9, 1.2])
def test_a_blurred_bird_is_still_one_bird(sigma):
    for frame, _, state in SAMPLES:
        read = read_state(cv2.GaussianBlur(frame, (0, 0), sigma))
        assert read.found
        assert abs(read.height - state.height) < 2.5


def test_noise_moves_the_reading_little():
    rng = np.random.default_rng(0)
    for frame, _, state in SAMPLES:
        noisy = np.clip(frame + rng.normal(0, 15, frame.shape), 0, 255).astype(np.uint8)
        assert abs(read_state(noisy).height - state.height) < 0.5


def test_no_bird_is_not_found():
    assert not any(read_state(without_bird(scene)).found for _, scene, _ in SAMPLES)


def test_a_faint_bird_is_not_found():
    for frame, scene, _ in SAMPLES:
        assert not read_state(blend(frame, without_bird(scene), 0.55)).found
        assert read_state(blend(frame, without_bird(scene), 0.8)).found


def test_two_birds_are_no_bird():
    for frame, scene, _ in SAMPLES:
        other = with_bird_at(scene, scene.bird_y - 60 if scene.bird_y > 200 else scene.bird_y + 60)
        half_and_half = blend(frame, other, 0.5)
        is_other = (other != without_bird(scene)).any(-1, keepdims=True)
        both = np.where(is_other, other, frame)
        assert not read_state(half_and_half).found
        assert not read_state(both).found


def test_the_pixel_player_survives():
    """Figures over 100 games are in the docs; here a few, short ones."""
    survived = []
    for seed in range(4):
        simulator, player = FlappySimulator(seed), PixelRulePlayer(read_state)
        frames = 1
        while frames < 150 and not simulator.step(player.act(simulator.frame)).terminated:
            frames += 1
        survived.append(frames)
    assert np.mean(survived) > 140


def test_a_lost_bird_makes_the_pixel_player_wait():
    player = GAME.make_pixel_player()
    _, scene, _ = SAMPLES[0]
    assert player.act(without_bird(scene)) == 0
