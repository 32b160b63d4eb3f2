"""The overworld as a gymnasium environment, `worldgen/Overworld-v0`; importing this module registers it.

There is nothing to win: rewards are zero and episodes never end by themselves. An observation is the native
picture; a step is a tick of a thirtieth of a second, or two as in recordings.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import UInt8

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import TrueTileState
from worldgen_core.games.overworld_render import NATIVE_HEIGHT, NATIVE_WIDTH
from worldgen_core.games.overworld_simulator import (
    ACTION_NAMES,
    DEFAULT_WORLD_SEED,
    TICKS_PER_SECOND,
    OverworldSimulator,
    start_of,
)
from worldgen_core.games.overworld_town import make_world

ENV_ID = "worldgen/Overworld-v0"

Picture = UInt8[np.ndarray, "160 240 3"]


class OverworldEnv(gymnasium.Env[np.ndarray, np.int64]):
    """Walk through a little town; `world_seed` chooses the town, `reset(seed=…)` where one begins."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": TICKS_PER_SECOND}  # noqa: RUF012 (gymnasium's own form)

    def __init__(
        self,
        render_mode: str | None = "rgb_array",
        *,
        world_seed: int = DEFAULT_WORLD_SEED,
        ticks_per_step: int = 1,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(
                "render_mode",
                expected="rgb_array or None",
                found=repr(render_mode),
                next_step="pass rgb_array",
            )
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (NATIVE_HEIGHT, NATIVE_WIDTH, 3), np.uint8)
        self.action_space = spaces.Discrete(len(ACTION_NAMES))
        world = make_world(world_seed)
        self._simulator = OverworldSimulator(world, start_of(world, 0), ticks_per_frame=ticks_per_step)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Picture, dict[str, Any]]:
        """Begin somewhere in the town."""
        super().reset(seed=seed, options=options)
        self._simulator.reset(int(self.np_random.integers(2**31)))
        return self._simulator.native_frame, self._info()

    def step(self, action: np.int64 | int) -> tuple[Picture, float, bool, bool, dict[str, Any]]:
        """Play one action."""
        reward, terminated = self._simulator.advance(int(action))
        return self._simulator.native_frame, reward, terminated, False, self._info()

    def render(self) -> Picture | None:  # pyright: ignore[reportIncompatibleMethodOverride] (gymnasium's type is wider)
        """The native picture, 160 rows of 240 pixels."""
        return self._simulator.native_frame if self.render_mode == "rgb_array" else None

    @property
    def state(self) -> TrueTileState:
        """The true state."""
        return self._simulator.state

    def _info(self) -> dict[str, Any]:
        state = self._simulator.state
        return {"map_id": state.map_id, "tile": (state.tile_x, state.tile_y), "facing": state.facing}


if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point=f"{__name__}:OverworldEnv")
