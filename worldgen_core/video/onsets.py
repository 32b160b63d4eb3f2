"""Where keys go down, where motion begins, and how far apart the two are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

_REST_FRAMES = 3
_STILL = 0.002
"""Part of the largest motion that still counts as stillness."""


@dataclass(frozen=True, slots=True)
class LagVote:
    """How many onsets agree on a lag, within one frame."""

    lag: int
    num_agreeing: int
    num_onsets: int

    @property
    def share(self) -> float:
        """Share of the onsets that agree."""
        return self.num_agreeing / self.num_onsets if self.num_onsets else 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """Pairs of an onset and a key-down: the onset's number, its frame, the distance."""

    onset: Int64[np.ndarray, " p"]
    frame: Int64[np.ndarray, " p"]
    lag: Int64[np.ndarray, " p"]

    def where(self, keep: Bool[np.ndarray, " p"]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.onset[keep], self.frame[keep], self.lag[keep])


def key_downs(
    action: Int64[np.ndarray, " n"], movement: Collection[int] | None = None
) -> Int64[np.ndarray, " k"]:
    """Frames in which another movement key is held than in the frame before."""
    moves = action > 0 if movement is None else np.isin(action, list(movement))
    return np.flatnonzero(moves[1:] & (action[1:] != action[:-1])) + 1


def motion_onsets(motion: Float32[np.ndarray, " n"], threshold: float) -> Int64[np.ndarray, " o"]:
    """Frames above the threshold after at least three below it."""
    moves = motion > threshold
    rest = np.ones(max(len(motion) - _REST_FRAMES, 0), bool)
    for back in range(1, _REST_FRAMES + 1):
        rest &= ~moves[_REST_FRAMES - back : len(motion) - back]
    return np.flatnonzero(rest & moves[_REST_FRAMES:]) + _REST_FRAMES


def thresholds(motion: Float32[np.ndarray, " n"]) -> list[float]:
    """Thresholds to try: between small and large motion, and just above stillness."""
    spread = np.sqrt(motion.astype(np.float64))
    if not len(spread) or spread.max() <= 0:
        return []
    split = _otsu(spread) ** 2
    least, most = np.percentile(motion, [10, 99])
    still = float(2 * least + _STILL * most)
    return [split] if still >= split else [split, still]


def _otsu(values: np.ndarray) -> float:
    """The value that parts the values into two groups of the least spread."""
    counts, edges = np.histogram(values, 256)
    centres, share = (edges[:-1] + edges[1:]) / 2, counts / counts.sum()
    below, mean = np.cumsum(share), np.cumsum(share * centres)
    between = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-12)
    return float(centres[int(between.argmax())])


def pair_up(keys: Int64[np.ndarray, " k"], onsets: Int64[np.ndarray, " o"], window: int) -> Pairs:
    """Every onset with every key-down at most `window` frames away."""
    first = np.searchsorted(keys, onsets - window, side="left")
    last = np.searchsorted(keys, onsets + window, side="right")
    counts = last - first
    onset = np.repeat(np.arange(len(onsets)), counts)
    start = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(onsets) else first, counts)
    key = keys[start + np.arange(len(onset))]
    return Pairs(onset, onsets[onset], onsets[onset] - key)


def agreement(pairs: Pairs, window: int) -> Bool[np.ndarray, "b o"]:
    """Whether each onset has a key-down within one frame of each lag."""
    onsets, row = np.unique(pairs.onset, return_inverse=True)
    agrees = np.zeros((2 * window + 1, len(onsets)), bool)
    for near in (-1, 0, 1):
        agrees[np.clip(pairs.lag + window + near, 0, 2 * window), row] = True
    return agrees


def vote_on(pairs: Pairs, window: int) -> LagVote | None:
    """The lag that most onsets agree on; of equal ones that with the most exact votes."""
    if not len(pairs.lag):
        return None
    exact = np.bincount(pairs.lag + window, minlength=2 * window + 1)
    agrees = agreement(pairs, window)
    near = agrees.sum(axis=1)
    # A lag and its neighbours share votes: the largest exact count decides among those nearly as good.
    good = 4 * near >= 3 * near.max()
    best = int(np.argmax(np.where(good, exact * 1_000 + near, -1)))
    return LagVote(best - window, int(near[best]), agrees.shape[1])
