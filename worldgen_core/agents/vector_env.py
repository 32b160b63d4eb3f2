"""Simulators as the vector environment stable-baselines3 trains on: features in, actions out, no drawing.

Lives have no time limit. As every stable-baselines3 vector environment it starts a new life by itself and
hides the crash frame, which is why capture does not use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from typing_extensions import override

from worldgen_core.games.base import Game
from worldgen_core.seeds import derive_seed


class SimulatorVecEnv(VecEnv):
    """`num_envs` games side by side; life n of game i is seeded by (seed, i, n)."""

    def __init__(self, game: Game, num_envs: int, seed: int) -> None:
        limits = np.full(game.num_features, np.inf, np.float32)
        super().__init__(num_envs, spaces.Box(-limits, limits), spaces.Discrete(len(game.action_names)))
        self._game, self._seed = game, seed
        self._lives = [0] * num_envs
        self._simulators = [game.make_simulator(self._life_seed(i)) for i in range(num_envs)]
        self._actions: list[int] = []

    def _life_seed(self, index: int) -> int:
        return derive_seed(self._seed, "training game", index, self._lives[index])

    def _features(self) -> np.ndarray:
        return np.stack([self._game.features(simulator.state) for simulator in self._simulators])

    def reset(self) -> np.ndarray:
        """Start a new life in every game."""
        for index in range(self.num_envs):
            self._restart(index)
        return self._features()

    def _restart(self, index: int) -> None:
        self._lives[index] += 1
        self._simulators[index] = self._game.make_simulator(self._life_seed(index))

    def step_async(self, actions: np.ndarray) -> None:
        """Take the next actions."""
        self._actions = actions.tolist()

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Play them; where a life ends, the features are those of the next life's start."""
        results = [sim.advance(action) for sim, action in zip(self._simulators, self._actions, strict=True)]
        infos: list[dict[str, Any]] = [{} for _ in results]
        for index, (_, terminated) in enumerate(results):
            if terminated:
                infos[index]["terminal_observation"] = self._game.features(self._simulators[index].state)
                self._restart(index)
        rewards, dones = zip(*results, strict=True)
        return self._features(), np.array(rewards, np.float32), np.array(dones), infos

    def close(self) -> None:
        """Nothing to release."""

    @override
    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Stable-baselines3 asks for `render_mode` only; there is none."""
        return [None for _ in self._chosen(indices)]

    @override
    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not supported."""
        raise AttributeError(attr_name)

    @override
    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not supported."""
        raise AttributeError(method_name)

    @override
    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No simulator is wrapped."""
        return [False for _ in self._chosen(indices)]

    def _chosen(self, indices: Any) -> Sequence[int]:
        return range(self.num_envs) if indices is None else np.atleast_1d(indices).tolist()
