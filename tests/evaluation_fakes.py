"""Models whose figures are known beforehand: an oracle that is the game itself, and one that stands still."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldgen_core.games.base import Frame, Game, Simulator, Transition, TrueState
from worldgen_core.models.interface import Prediction

NUM_CONTEXT_FRAMES = 3
_NUM_BITS = 42


@dataclass
class Archive:
    """Remembers every simulated life by a number that its frames carry in last bits of their first row."""

    lives: dict[int, tuple[int, list[int]]] = field(default_factory=dict)
    numbers: itertools.count = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, seed: int) -> tuple[int, list[int]]:
        with self.lock:
            number = next(self.numbers)
            self.lives[number] = (seed, [])
        return number, self.lives[number][1]

    def recall(self, frame: Frame) -> tuple[int, list[int]]:
        """Seed and actions up to this frame."""
        bits = frame[0].ravel()[:_NUM_BITS] & 1
        value = int("".join(map(str, bits.tolist())), 2)
        seed, actions = self.lives[value >> 16]
        return seed, actions[: value & 0xFFFF]


class MarkedSimulator:
    """A simulator whose frames can be traced to their life."""

    def __init__(self, inner: Simulator, seed: int, archive: Archive) -> None:
        self._inner = inner
        self._number, self._actions = archive.begin(seed)

    def reset(self, seed: int) -> Frame:
        raise NotImplementedError

    def advance(self, action: int) -> tuple[float, bool]:
        self._actions.append(action)
        return self._inner.advance(action)

    def step(self, action: int) -> Transition:
        reward, terminated = self.advance(action)
        return Transition(self.frame, reward, terminated)

    @property
    def frame(self) -> Frame:
        value = self._number << 16 | len(self._actions)
        frame = self._inner.frame
        row = frame[0].ravel()
        row[:_NUM_BITS] = row[:_NUM_BITS] & 0xFE | np.array(list(f"{value:0{_NUM_BITS}b}"), dtype=np.uint8)
        frame[0] = row.reshape(frame[0].shape)
        return frame

    @property
    def state(self) -> TrueState:
        return self._inner.state


def traced(game: Game, archive: Archive) -> Game:
    """The game, with frames that an oracle can trace."""
    return replace(
        game, make_simulator=lambda seed: MarkedSimulator(game.make_simulator(seed), seed, archive)
    )


class Still:
    """Shows the last frame for ever; may claim an end of life with a fixed probability."""

    num_context_frames = NUM_CONTEXT_FRAMES
    num_actions = 2
    frame_shape = (128, 72)
    takes_chance_from_truth = False

    def __init__(self, end_probability: float | None = 0.0) -> None:
        self._end_probability = end_probability

    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"], *, seed: int
    ) -> None:
        assert frames.shape[1] == NUM_CONTEXT_FRAMES
        assert actions.shape[1] == NUM_CONTEXT_FRAMES - 1
        self._last = frames[:, -1].clone()

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        ends = self._end_probability
        return Prediction(
            self._last.clone(), None, None if ends is None else torch.full((len(action),), ends)
        )


class Oracle(Still):
    """Dreams exactly what the game would have done; `deaf` to what is pressed if asked to be."""

    def __init__(self, game: Game, archive: Archive, *, is_deaf: bool = False) -> None:
        super().__init__()
        self._game = game
        self._archive = archive
        self._is_deaf = is_deaf

    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"], *, seed: int
    ) -> None:
        super().reset(frames, actions, seed=seed)
        self._simulators: list[Simulator] = []
        self._is_over = [False] * len(frames)
        for frame in self._last.numpy():
            life_seed, past = self._archive.recall(frame)
            simulator = self._game.make_simulator(life_seed)
            for action in past:
                simulator.advance(action)
            self._simulators.append(simulator)

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        ends = torch.zeros(len(action))
        for i, act in enumerate(action.tolist()):
            if not self._is_over[i]:
                transition = self._simulators[i].step(0 if self._is_deaf else act)
                self._last[i] = torch.from_numpy(transition.frame)
                self._is_over[i] = transition.terminated
                ends[i] = float(transition.terminated)
        return Prediction(self._last.clone(), None, ends)
