"""Real Flappy Bird frames for the storage benchmark: rendered once, kept in two sizes as raw NumPy files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import cv2
import flappy_bird_gymnasium  # noqa: F401  -- registers the environment
import gymnasium

_FLAP_BELOW = 12 / 512  # flap when the bird's bottom would pass the lower pipe's edge minus 12 pixels
_BIRD_HEIGHT = 24 / 512


def render_episodes(
    num_episodes: int, num_frames: int, *, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (frames uint8 (t, 512, 288, 3), action int64 (t,)) of a rule player that now and then dies."""
    env = gymnasium.make("FlappyBird-v0", render_mode="rgb_array", use_lidar=False)
    for episode in range(num_episodes):
        observation, _ = env.reset(seed=seed + episode)
        frames = np.empty((num_frames, 512, 288, 3), np.uint8)
        action = np.zeros(num_frames, np.int64)
        for t in range(num_frames):
            frames[t] = np.asarray(env.render())
            ahead = [k for k in (0, 3, 6) if observation[k] > 0.1]
            edge = observation[ahead[0] + 2] if ahead else 0.5
            action[t] = int(observation[9] + _BIRD_HEIGHT > edge - _FLAP_BELOW)
            observation, _, terminated, _, _ = env.step(int(action[t]))
            if terminated:
                observation, _ = env.reset()
        yield frames, action
    env.close()


def store_raw(
    folder: Path, sizes: dict[str, tuple[int, int]], num_episodes: int, num_frames: int, *, seed: int
) -> None:
    """Write `folder/<size>/frames-<episode>.npy` and `action-<episode>.npy` for each (height, width)."""
    for name in sizes:
        (folder / name).mkdir(parents=True)
    for number, (frames, action) in enumerate(render_episodes(num_episodes, num_frames, seed=seed)):
        for name, (height, width) in sizes.items():
            small = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
            np.save(folder / name / f"frames-{number}.npy", np.stack(small))
            np.save(folder / name / f"action-{number}.npy", action)
