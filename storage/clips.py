"""The dataset reader: random clips by episode id, in memory that does not grow with the dataset.

Held in memory: one small record an episode, twenty bytes a chunk, and a bounded cache of step tables. A
clip's frames are gone when the caller drops them. A reader may be used from several threads at once.
"""

from __future__ import annotations

from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, UInt8

from storage.arrow import ReadError, open_table
from storage.errors import ShardCorruptError, StorageError
from storage.npz_source import NpzSource
from storage.order import batch_indices
from storage.parquet_source import ParquetSource
from storage.records import Clip, DatasetInfo, Episode, EpisodeInfo, Split, StepTable
from storage.schema import DATASET_FILE, EPISODE_COLUMNS, EPISODES_FILE, info_from_json, mending_command

__all__ = ["ClipReader", "batch_indices", "read_episode_table", "read_info"]


@runtime_checkable
class EpisodeSource(Protocol):
    """Reads parts of one episode in one format; safe to call from several threads."""

    def frames(self, row: EpisodeInfo, start: int, length: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames `start` to `start + length`, a new array."""
        ...

    def steps(self, row: EpisodeInfo) -> StepTable:
        """The steps of the whole episode, shared and read-only."""
        ...

    def episode(self, row: EpisodeInfo) -> Episode:
        """Everything."""
        ...


class ClipReader:
    """Reads a dataset folder, whatever its format; files are opened when they are first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def info(self) -> DatasetInfo:
        """What `dataset.json` says.

        Raises: StorageError if there is no dataset; SchemaVersionError; ShardCorruptError.
        """
        return read_info(self.folder)

    @cached_property
    def _episodes(self) -> dict[str, EpisodeInfo]:
        read_info(self.folder)  # refuses another version of the format before its tables are read
        return {row.episode_id: row for row in read_episode_table(self.folder)}

    @cached_property
    def _source(self) -> EpisodeSource:
        if self.info.format == "npz":
            return NpzSource(self.folder)
        return ParquetSource(self.folder, self.info, list(self._episodes.values()))

    def episodes(self, split: Split | None = None) -> list[EpisodeInfo]:
        """The episodes of a split, or of all, in the order in which they were written."""
        return [row for row in self._episodes.values() if split is None or row.split == split]

    def steps(self, episode_id: str) -> StepTable:
        """Actions, rewards and ends of a whole episode.

        Raises: StorageError for an unknown id; ShardCorruptError.
        """
        return self._source.steps(self._find(episode_id))

    def read(self, episode_id: str, start: int, length: int) -> Clip:
        """Read frames `start` to `start + length` with their steps; the clip's arrays are the caller's own.

        Raises: StorageError for an unknown id or a range outside the episode; ShardCorruptError.
        """
        row = self._find(episode_id)
        if start < 0 or length < 1 or start + length > row.num_frames:
            raise StorageError(
                f"{self.folder}: clip of episode {episode_id!r}",
                expected=f"a range within its {row.num_frames} frames",
                found=f"{length} frames from {start} on",
                next_step="draw clips from `clip_starts`",
            )
        steps, window = self._source.steps(row), slice(start, start + length)
        return Clip(
            episode_id=episode_id,
            start=start,
            frames=self._source.frames(row, start, length),
            action=steps.action[window].copy(),
            reward=steps.reward[window].copy(),
            terminated=steps.terminated[window].copy(),
            truncated=steps.truncated[window].copy(),
        )

    def read_episode(self, episode_id: str) -> Episode:
        """Read a whole episode as it was written, time stamps included."""
        return self._source.episode(self._find(episode_id))

    def clip_starts(
        self, length: int, split: Split | None = None
    ) -> tuple[Int32[np.ndarray, " clips"], Int32[np.ndarray, " clips"]]:
        """Every clip of `length` frames that crosses no border between lives: (episode index, first frame).

        The index points into `episodes(split)`. A clip may end in the frame that ended a life, and not go
        beyond.
        Cost: reads the steps of every episode of the split.
        """
        indices: list[np.ndarray] = []
        starts: list[np.ndarray] = []
        for index, row in enumerate(self.episodes(split)):
            steps = self._source.steps(row)
            first = _starts_within_lives(steps.terminated | steps.truncated, length)
            starts.append(first)
            indices.append(np.full(len(first), index, np.int32))
        empty = np.zeros(0, np.int32)
        return np.concatenate([empty, *indices]), np.concatenate([empty, *starts])

    def _find(self, episode_id: str) -> EpisodeInfo:
        try:
            return self._episodes[episode_id]
        except KeyError:
            raise StorageError(
                f"{self.folder}: episode {episode_id!r}",
                expected=f"one of the dataset's {len(self._episodes)} episodes",
                found="no such id",
                next_step="take ids from `episodes()`",
            ) from None


def _starts_within_lives(dead: np.ndarray, length: int) -> np.ndarray:
    """First frames of the windows in which no frame but the last ended a life."""
    num_starts = len(dead) - length + 1
    if num_starts < 1:
        return np.zeros(0, np.int32)
    ended = np.concatenate([[0], np.cumsum(dead)])
    inside = ended[length - 1 : length - 1 + num_starts] - ended[:num_starts]
    return np.flatnonzero(inside == 0).astype(np.int32)


def read_info(folder: Path) -> DatasetInfo:
    """Read `dataset.json`.

    Raises: StorageError if there is none; SchemaVersionError; ShardCorruptError.
    """
    path = folder / DATASET_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"{folder}: dataset",
            expected=f"a folder with a {DATASET_FILE}",
            found=f"{type(error).__name__}: {error}",
            next_step="name the folder of a finished dataset, or build one with `worldgen build GAME`",
        ) from error
    return info_from_json(data, path=path)


def read_episode_table(folder: Path) -> list[EpisodeInfo]:
    """Read `episodes.parquet`.

    Raises: ShardCorruptError.
    """
    path = folder / EPISODES_FILE
    try:
        with closing(open_table(path, EPISODE_COLUMNS)) as table:
            columns = table.all_values()
    except ReadError as error:
        raise ShardCorruptError(
            f"{path}: episode table",
            expected="a Parquet file, one row an episode",
            found=f"{type(error).__name__}: {error}",
            next_step=mending_command(folder),
        ) from error
    rows = zip(*(columns[name] for name in EPISODE_COLUMNS), strict=True)
    return [EpisodeInfo(**dict(zip(EPISODE_COLUMNS, row, strict=True))) for row in rows]
