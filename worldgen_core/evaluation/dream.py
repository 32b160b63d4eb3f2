"""Rollouts of a world model in NumPy terms: along held-out clips, and life after life in slots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8

from worldgen_core.batch import array_to_tensor
from worldgen_core.evaluation.starts import Context, Starts
from worldgen_core.games.base import Simulator
from worldgen_core.models.interface import CanRestart, Prediction, WorldModel
from worldgen_core.seeds import derive_seed

Count = Callable[[int], None]
"""Takes the number of frames that were just dreamt."""


@dataclass(frozen=True)
class Dream:
    """What a model dreamt along `Starts`, same rows and columns; frames from `num_dreamt[i]` on are black."""

    frames: UInt8[np.ndarray, "b n h w c"]
    terminated: Float32[np.ndarray, "b n"]
    """Probability that the life ended on this frame; NaN where not dreamt, or not learned by the model."""
    num_dreamt: Int64[np.ndarray, " b"]


def frames_wanted(starts: Starts) -> Int64[np.ndarray, " b"]:
    """Frames to dream from each start: up to one after the crash, so that a late announcement can be seen."""
    return np.minimum(starts.death + 2, starts.action.shape[1])


def rows_by_length(starts: Starts, batch_size: int) -> list[Int64[np.ndarray, " rows"]]:
    """Rows to dream together: starts whose lives end alike, so that few frames are dreamt for nothing."""
    order = np.argsort(frames_wanted(starts), kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def blank_dream(starts: Starts) -> Dream:
    """A dream in which nothing was dreamt yet."""
    return Dream(
        np.zeros_like(starts.truth),
        np.full(starts.action.shape, np.nan, dtype=np.float32),
        frames_wanted(starts),
    )


@torch.inference_mode()
def dream_along(
    model: WorldModel,
    starts: Starts,
    rows: Int64[np.ndarray, " rows"],
    into: Dream,
    *,
    gives_truth: bool = True,
    seed: int,
    count: Count,
) -> None:
    """Dream from the chosen starts under their actions, in one batch, into the same rows of `into`.

    What the game draws at random comes from the truth where the model can take it, unless `gives_truth` is
    off.
    """
    num_wanted = into.num_dreamt[rows]
    context = array_to_tensor(starts.context[rows])
    model.reset(context, array_to_tensor(starts.context_action[rows]), seed=seed)
    for j in range(int(num_wanted.max())):
        truth = array_to_tensor(starts.truth[rows, j]) if gives_truth else None
        prediction = model.step(array_to_tensor(starts.action[rows, j]), truth=truth)
        still = j < num_wanted
        into.frames[rows[still], j] = prediction.frame.cpu().numpy()[still]
        into.terminated[rows[still], j] = _end_probability(prediction)[still]
        count(len(rows))


@torch.inference_mode()
def dream_on(
    model: WorldModel,
    context: UInt8[np.ndarray, "b t h w c"],
    context_action: Int64[np.ndarray, "b past"],
    action: Int64[np.ndarray, "b n"],
    *,
    seed: int,
    count: Count,
) -> UInt8[np.ndarray, "b n h w c"]:
    """Dream on under actions, in one batch, with the model's own chance."""
    frames = np.empty((*action.shape, *context.shape[2:]), np.uint8)
    model.reset(array_to_tensor(context), array_to_tensor(context_action), seed=seed)
    for j in range(action.shape[1]):
        frames[:, j] = model.step(array_to_tensor(action[:, j])).frame.cpu().numpy()
        count(len(frames))
    return frames


class DreamSlots:
    """Dreams side by side, each of which can start anew from a fresh context while the others go on.

    A model that cannot restart single rows is reset as a whole, with the last frames that were dreamt in the
    other slots: to those it is as if the player had paused.
    """

    def __init__(self, model: WorldModel, contexts: list[Context], *, seed: int) -> None:
        self._model = model
        self._seed = seed
        self._num_resets = 0
        self._frames = np.stack([context.frames for context in contexts])
        self._actions = np.stack([context.actions for context in contexts])
        model.reset(array_to_tensor(self._frames), array_to_tensor(self._actions), seed=self._next_seed())

    @property
    def frames(self) -> UInt8[np.ndarray, "s h w c"]:
        """The current frame of every slot."""
        return self._frames[:, -1]

    def step(self, action: Int64[np.ndarray, " s"]) -> Bool[np.ndarray, " s"]:
        """Dream one frame everywhere; returns where the dream announces the end of the life."""
        with torch.inference_mode():
            prediction = self._model.step(array_to_tensor(action))
        self._frames = np.concatenate([self._frames[:, 1:], prediction.frame.cpu().numpy()[:, None]], axis=1)
        self._actions = np.concatenate([self._actions, action[:, None]], axis=1)[:, 1:]
        return _end_probability(prediction) > 0.5

    def restart(self, fresh: dict[int, Context]) -> None:
        """Start the given slots anew."""
        if not fresh:
            return
        rows = np.array(list(fresh), dtype=np.int64)
        self._frames[rows] = np.stack([context.frames for context in fresh.values()])
        self._actions[rows] = np.stack([context.actions for context in fresh.values()])
        model = self._model
        with torch.inference_mode():
            if isinstance(model, CanRestart):
                frames, actions = array_to_tensor(self._frames[rows]), array_to_tensor(self._actions[rows])
                model.restart(array_to_tensor(rows), frames, actions, seed=self._next_seed())
            else:
                frames, actions = array_to_tensor(self._frames), array_to_tensor(self._actions)
                model.reset(frames, actions, seed=self._next_seed())

    def _next_seed(self) -> int:
        self._num_resets += 1
        return derive_seed(self._seed, "slots", self._num_resets)


class GameSlots:
    """True games side by side, with the same interface as `DreamSlots`."""

    def __init__(self, contexts: list[Context]) -> None:
        self._simulators = [_simulator(context) for context in contexts]
        self._frames = np.stack([context.frames[-1] for context in contexts])

    @property
    def frames(self) -> UInt8[np.ndarray, "s h w c"]:
        """The current frame of every slot."""
        return self._frames

    def step(self, action: Int64[np.ndarray, " s"]) -> Bool[np.ndarray, " s"]:
        """Play one frame everywhere; returns where it ended the life."""
        played = [game.step(int(act)) for game, act in zip(self._simulators, action, strict=True)]
        self._frames = np.stack([transition.frame for transition in played])
        return np.array([transition.terminated for transition in played])

    def restart(self, fresh: dict[int, Context]) -> None:
        """Start the given slots anew."""
        for slot, context in fresh.items():
            self._simulators[slot] = _simulator(context)
            self._frames[slot] = context.frames[-1]


def _simulator(context: Context) -> Simulator:
    assert context.simulator is not None, "only a simulator can go on"
    return context.simulator


def _end_probability(prediction: Prediction) -> Float32[np.ndarray, " b"]:
    if prediction.terminated is None:
        return np.full(prediction.frame.shape[0], np.nan, dtype=np.float32)
    return prediction.terminated.cpu().numpy()
