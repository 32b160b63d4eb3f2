"""A reader's source for NPZ files: a random clip costs its whole episode unless that was read lately."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from storage.cache import BoundedCache
from storage.errors import ShardCorruptError
from storage.npz import read_episode, read_steps
from storage.records import Episode, EpisodeInfo, StepTable
from storage.schema import mending_command, npz_file

EPISODE_CACHE_BYTES = 256 * 2**20
STEP_CACHE_BYTES = 4 * 2**20


class NpzSource:
    """One NPZ file an episode."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next_step = mending_command(folder)
        self._episodes = BoundedCache[Episode](EPISODE_CACHE_BYTES, size_bytes=lambda it: it.frames.nbytes)
        self._steps = BoundedCache[StepTable](STEP_CACHE_BYTES, size_bytes=lambda it: it.num_bytes)

    def frames(self, row: EpisodeInfo, start: int, length: int) -> UInt8[np.ndarray, "t h w 3"]:
        """From an inflated episode: one of the last ones, or read now."""
        episode = self._episodes.get(row.episode_id, lambda: self.episode(row))
        return episode.frames[start : start + length].copy()

    def steps(self, row: EpisodeInfo) -> StepTable:
        """The step arrays alone, so that looking for clips inflates no pixels."""
        return self._steps.get(row.episode_id, lambda: self._load_steps(row))

    def episode(self, row: EpisodeInfo) -> Episode:
        """The whole file."""
        path = self._folder / npz_file(row.shard)
        episode = read_episode(path, next_step=self._next_step)
        self._check(path, row, episode.episode_id, episode.num_frames)
        return episode

    def _load_steps(self, row: EpisodeInfo) -> StepTable:
        path = self._folder / npz_file(row.shard)
        episode_id, steps = read_steps(path, next_step=self._next_step)
        self._check(path, row, episode_id, len(steps.action))
        return steps

    def _check(self, path: Path, row: EpisodeInfo, episode_id: str, num_frames: int) -> None:
        if (episode_id, num_frames) != (row.episode_id, row.num_frames):
            raise ShardCorruptError(
                f"{path}: episode",
                expected=f"{row.num_frames} frames of episode {row.episode_id!r}",
                found=f"{num_frames} frames of episode {episode_id!r}",
                next_step=self._next_step,
            )
