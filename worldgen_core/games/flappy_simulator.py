"""Flappy Bird as a simulator: flappy-bird-gymnasium's physics, our own fast picture, the true state.

The only module that reads the environment's private fields.
"""

from __future__ import annotations

from flappy_bird_gymnasium.envs.flappy_bird_env import FlappyBirdEnv

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Frame, Opening, Transition, TrueState
from worldgen_core.games.flappy_render import (
    BIRD_HEIGHT,
    NATIVE_WIDTH,
    PIPE_HEIGHT,
    PIPE_WIDTH,
    PipePair,
    Scene,
    render,
)

PIPE_GAP = 100


class FlappySimulator:
    """One bird's life after another; deterministic in seed and actions.

    Each life has an environment of its own: the packaged one keeps the wing's phase across resets, which
    would make a frame depend on the life before.
    """

    def __init__(self, seed: int) -> None:
        self._start(seed)

    def _start(self, seed: int) -> None:
        self._env = FlappyBirdEnv(use_lidar=False, normalize_obs=False)
        self._env.reset(seed=seed)
        self._is_alive = True

    def reset(self, seed: int) -> Frame:
        """Start a new life and return its first frame."""
        self._start(seed)
        return self.frame

    def advance(self, action: int) -> tuple[float, bool]:
        """Play one action without drawing; returns reward and whether it ended the life."""
        if not self._is_alive:
            raise ConfigError(
                "the life is over",
                expected="reset(seed) after a terminated frame",
                found="another action",
                next_step="call reset first",
            )
        reward, terminated = self._env.step(action)[1:3]
        self._is_alive = not terminated
        return float(reward), bool(terminated)

    def step(self, action: int) -> Transition:
        """Play one action; raises ConfigError once the life is over."""
        reward, terminated = self.advance(action)
        return Transition(self.frame, reward, terminated)

    @property
    def scene(self) -> Scene:
        """All that the current frame depends on."""
        env = self._env
        holes = ((int(pipe["x"]), int(pipe["y"]) + PIPE_HEIGHT) for pipe in env._upper_pipes)
        pipes = tuple(PipePair(x, top, top + PIPE_GAP) for x, top in holes)
        return Scene(int(env._ground["x"]), pipes, int(env._player_y), env._player_idx, int(env._player_rot))

    @property
    def frame(self) -> Frame:
        """The current frame, 128 rows of 72 pixels."""
        return render(self.scene)

    @property
    def state(self) -> TrueState:
        """The current true state; openings as far as they are in the picture."""
        env = self._env
        holes = ((float(pipe["x"]), float(pipe["y"] + PIPE_HEIGHT)) for pipe in env._upper_pipes)
        openings = [
            Opening(x, top, top + PIPE_GAP) for x, top in holes if -PIPE_WIDTH < int(x) < NATIVE_WIDTH
        ]
        height = float(env._player_y)
        return TrueState(
            found=height > -BIRD_HEIGHT,
            height=height,
            openings=tuple(sorted(openings, key=lambda opening: opening.x)),
            speed=float(env._player_vel_y),
            rotation=float(env._player_rot),
            is_alive=self._is_alive,
        )


def make_simulator(seed: int) -> FlappySimulator:
    """A simulator on the first frame of that seed's life."""
    return FlappySimulator(seed)
