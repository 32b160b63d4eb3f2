"""Which clips a training step sees: a pure function of seed and step, with rare events shown more often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Int32

from storage.clips import ClipReader
from storage.records import Split
from worldgen_core.batch import ClipBatch, collate
from worldgen_core.errors import ConfigError
from worldgen_core.games.base import EventWindow
from worldgen_core.seeds import derive_seed

Pool = Int32[np.ndarray, "clips 2"]
T = TypeVar("T")


class ClipSampler:
    """Draws batches of clips in which a set share of the windows predicts an event the game names.

    Windows of `num_context + unroll` frames never cross the end of a life, unless `beyond_ends`: then only
    context and first predicted frame need to be of one life, and the batch's mask hides what follows it.
    Otherwise deaths come at the last frame of a window only, and a model with a memory learns to count
    instead of looking (seen: deaths predicted at even frames). Where a dataset holds no such event, its
    share falls back to all windows.
    """

    def __init__(
        self,
        reader: ClipReader,
        *,
        num_context: int,
        oversample: Sequence[EventWindow],
        seed: int,
        split: Split = "train",
        beyond_ends: bool = False,
    ) -> None:
        self._reader, self._num_context, self._oversample = reader, num_context, oversample
        self._seed, self._beyond_ends = seed, beyond_ends
        self._split: Split = split
        self._episodes = reader.episodes(split)
        self._pools: dict[int, list[Pool]] = {}

    def batch(self, train_step: int, *, unroll: int, batch_size: int) -> ClipBatch:
        """The batch of one training step."""
        length = self._num_context + unroll
        windows = self.windows(train_step, unroll=unroll, batch_size=batch_size)
        return collate([self._reader.read(episode_id, start, length) for episode_id, start in windows])

    def windows(self, train_step: int, *, unroll: int, batch_size: int) -> list[tuple[str, int]]:
        """Episode and first frame of each window of one training step."""
        rng = np.random.default_rng(derive_seed(self._seed, "batch", train_step))
        pools = self._pools_for(unroll)
        edges = np.cumsum([event.share for event in self._oversample])
        windows: list[tuple[str, int]] = []
        for _ in range(batch_size):
            pool = pools[int(np.searchsorted(edges, rng.random(), side="right"))]
            episode, start = pool[int(rng.integers(len(pool)))].tolist()
            windows.append((self._episodes[episode].episode_id, start))
        return windows

    def _pools_for(self, unroll: int) -> list[Pool]:
        """One pool an event kind, then the pool of all windows; built once a length."""
        if unroll not in self._pools:
            self._pools[unroll] = self._build_pools(unroll)
        return self._pools[unroll]

    def _build_pools(self, unroll: int) -> list[Pool]:
        length = self._num_context + unroll
        within = self._num_context + 1 if self._beyond_ends else length
        episodes, starts = self._reader.clip_starts(within, self._split)
        num_frames = np.array([info.num_frames for info in self._episodes], np.int64)
        inside = starts + length <= num_frames[episodes]
        episodes, starts = episodes[inside], starts[inside]
        everything = np.stack([episodes, starts], axis=1)
        if not len(everything):
            raise ConfigError(
                f"{self._reader.folder}: {self._split} windows",
                expected=f"lives or episodes of at least {length} frames",
                found="none",
                next_step="capture longer episodes, or shorten the unroll phases",
            )
        pools: list[Pool] = []
        for event in self._oversample:
            chosen = everything[self._predicts(event, episodes, starts, unroll)]
            pools.append(chosen if len(chosen) else everything)
        return [*pools, everything]

    def _predicts(
        self, event: EventWindow, episodes: np.ndarray, starts: np.ndarray, unroll: int
    ) -> np.ndarray:
        """Which windows have an interesting frame among those they predict before the life ends."""
        chosen = np.zeros(len(starts), bool)
        for index, info in enumerate(self._episodes):
            rows = np.flatnonzero(episodes == index)
            steps = self._reader.steps(info.episode_id)
            frames = event.frames(steps.reward, steps.terminated)
            first = starts[rows] + self._num_context
            ends = np.append(np.flatnonzero(steps.terminated | steps.truncated), info.num_frames)
            beyond = np.minimum(first + unroll, ends[np.searchsorted(ends, first)] + 1)
            chosen[rows] = np.searchsorted(frames, beyond) > np.searchsorted(frames, first)
        return chosen


class Prefetcher(Generic[T]):
    """Computes `produce(step + 1)` in a thread while the caller works on `produce(step)`."""

    def __init__(self, produce: Callable[[int], T], num_steps: int) -> None:
        self._produce, self._num_steps = produce, num_steps
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
        self._pending: tuple[int, Future[T]] | None = None
        self._present: tuple[int, T] | None = None

    def __call__(self, train_step: int) -> T:
        """Return what belongs to this step, and start on the next one; a step may ask more than once."""
        if self._present is not None and self._present[0] == train_step:
            return self._present[1]
        if self._pending is not None and self._pending[0] == train_step:
            value = self._pending[1].result()
        else:
            value = self._produce(train_step)
        self._pending, self._present = None, (train_step, value)
        if train_step + 1 < self._num_steps:
            self._pending = (train_step + 1, self._pool.submit(self._produce, train_step + 1))
        return value

    def close(self) -> None:
        """Stop the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)
