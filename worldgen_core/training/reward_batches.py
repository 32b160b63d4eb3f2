"""What a reward head learns from: frames, the action between them, and its reward as weights of values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int32, Int64, UInt8
from torch import Tensor

from storage.clips import ClipReader
from storage.records import Split
from worldgen_core.batch import array_to_tensor
from worldgen_core.models.reward_head import NUM_SEEN
from worldgen_core.seeds import derive_seed


class RewardBatch(NamedTuple):
    """Windows of frames, the action that led to the last of each, and the weights of the reward's values."""

    obs: UInt8[Tensor, "b seen h w c"]
    act: Int64[Tensor, " b"]
    target: Float32[Tensor, "b k"]


class RewardClips:
    """The windows of one split that a reward head sees, by number; memory does not grow with the pictures."""

    def __init__(self, reader: ClipReader, split: Split) -> None:
        """Raises: StorageError."""
        self._reader = reader
        self._episodes = reader.episodes(split)
        episodes, starts = reader.clip_starts(NUM_SEEN, split)
        self._places: Int32[np.ndarray, "n 2"] = np.stack([episodes, starts], axis=1)
        borders = np.searchsorted(episodes, np.arange(len(self._episodes) + 1))
        rewards = [
            reader.steps(row.episode_id).reward[starts[first:last] + NUM_SEEN - 2]
            for row, first, last in zip(self._episodes, borders[:-1], borders[1:], strict=True)
        ]
        self.reward: Float32[np.ndarray, " n"] = np.concatenate([np.zeros(0, np.float32), *rewards])
        """What the last frame of each window was worth."""

    def read(self, numbers: Int64[np.ndarray, " b"], values: Float32[np.ndarray, " k"]) -> RewardBatch:
        """The windows of these numbers."""
        places = self._places[numbers].tolist()
        clips = [self._reader.read(self._episodes[at].episode_id, start, NUM_SEEN) for at, start in places]
        return RewardBatch(
            obs=array_to_tensor(np.stack([clip.frames for clip in clips])),
            act=array_to_tensor(np.array([clip.action[-2] for clip in clips], np.int64)),
            target=array_to_tensor(two_hot(self.reward[numbers], values)),
        )


class RewardSampler:
    """Draws windows so that rare rewards come often: each value with the square root of its share."""

    def __init__(self, clips: RewardClips, values: Float32[np.ndarray, " k"], *, seed: int) -> None:
        self._clips, self._values, self._seed = clips, values, seed
        nearest = np.searchsorted((values[1:] + values[:-1]) / 2, clips.reward)
        counts = np.bincount(nearest, minlength=len(values))
        self._numbers = [np.flatnonzero(nearest == value) for value in range(len(values))]
        self._shares = np.sqrt(counts) / np.sqrt(counts).sum()
        self.correction = self._correction(nearest, counts)

    def batch(self, train_step: int, *, batch_size: int) -> RewardBatch:
        """The batch of one training step, a pure function of seed and step."""
        rng = np.random.default_rng(derive_seed(self._seed, "batch", train_step))
        drawn = rng.choice(len(self._shares), batch_size, p=self._shares)
        numbers = np.array([rng.choice(self._numbers[value]) for value in drawn])
        return self._clips.read(numbers, self._values)

    def _correction(
        self, nearest: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " k"]
    ) -> Float32[np.ndarray, " k"]:
        """What logits lack because rare rewards were drawn too often: the log of true over drawn shares."""
        reward, values = self._clips.reward, self._values
        drawn = _mass(reward, values, self._shares[nearest] / counts[nearest])
        true = _mass(reward, values, np.full(len(reward), 1 / len(reward)))
        ratio = np.divide(true, drawn, out=np.ones_like(true), where=true > 0)
        return np.log(ratio).astype(np.float32)


def reward_values(reward: Float32[np.ndarray, " n"], max_values: int) -> Float32[np.ndarray, " k"]:
    """The rewards of a dataset, ascending; evenly spaced ones instead if there are more than `max_values`."""
    values = np.unique(reward)
    if len(values) > max_values:
        values = np.linspace(values[0], values[-1], max_values, dtype=np.float32)
    return values


def two_hot(
    reward: Float32[np.ndarray, " n"], values: Float32[np.ndarray, " k"]
) -> Float32[np.ndarray, "n k"]:
    """Weights of the two neighbours among `values` that a reward is between; of one that it equals, 1."""
    weights = np.zeros((len(reward), len(values)), np.float32)
    low, share = _between(reward, values)
    rows = np.arange(len(reward))
    weights[rows, low] = 1 - share
    weights[rows, np.minimum(low + 1, len(values) - 1)] += share
    return weights


def _between(
    reward: Float32[np.ndarray, " n"], values: Float32[np.ndarray, " k"]
) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """The value at or below each reward, and the weight of the next one above it."""
    position = np.interp(reward, values, np.arange(len(values)))
    low = np.floor(position).astype(np.int64)
    return low, (position - low).astype(np.float32)


def _mass(
    reward: Float32[np.ndarray, " n"], values: Float32[np.ndarray, " k"], weight: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """The weighted sum of `two_hot`'s rows, which are too many to be held."""
    low, share = _between(reward, values)
    below = np.bincount(low, (1 - share) * weight, minlength=len(values))
    above = np.bincount(np.minimum(low + 1, len(values) - 1), share * weight, minlength=len(values))
    return below + above
