"""The overworld as a gymnasium environment."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldgen_core.errors import ConfigError
from worldgen_core.games.overworld_env import ENV_ID, OverworldEnv


def test_gymnasium_finds_nothing_to_complain_about():
    env = gymnasium.make(ENV_ID)
    with warnings.catch_warnings():
        # The checker advises against wrappers, which gymnasium.make itself adds.
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=False)
    env.close()


def test_a_seed_plays_the_same_again_and_the_picture_is_the_observation():
    frames = []
    for _ in range(2):
        env = gymnasium.make(ENV_ID, render_mode="rgb_array")
        env.reset(seed=3)
        for action in (1, 1, 4, 4, 4, 0, 2, 5):
            observation, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert set(info) == {"map_id", "tile", "facing"}
        np.testing.assert_array_equal(observation, env.render())
        frames.append(observation)
    np.testing.assert_array_equal(*frames)


def test_human_windows_are_refused_clearly():
    with pytest.raises(ConfigError, match="rgb_array"):
        OverworldEnv("human")
