"""The dataset writer: whole episodes into shards, each file atomic, `dataset.json` last.

The same episodes in the same order give the same bytes. At most one episode's frames are held in memory. What
a reader needs to know of the layout is ARCHITECTURE.md section 6 and `storage.schema`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from storage.arrow import Compression, TableWriter, write_table
from storage.atomic import disk_errors, replacing, sync_folder, write_bytes
from storage.codec import ChunkCodec, make_codec
from storage.errors import StorageError
from storage.npz import write_episode
from storage.records import SPLITS, DatasetFormat, DatasetInfo, Episode, EpisodeInfo, Split, SplitStatistics
from storage.schema import (
    DATASET_FILE,
    EPISODE_COLUMNS,
    EPISODES_FILE,
    FRAME_COLUMNS,
    STEP_COLUMNS,
    STEP_DTYPES,
    check_episode,
    episode_digest,
    frames_file,
    info_to_json,
    npz_file,
    steps_file,
)

MAX_SHARD_BYTES = 256 * 2**20
MAX_SHARD_CHUNKS = 2**16  # keeps the footer of a shard of tiny frames below 30 MiB


def write_dataset(
    folder: Path,
    info: DatasetInfo,
    episodes: Iterable[Episode],
    *,
    format: DatasetFormat = "parquet",
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> DatasetInfo:
    """Write a dataset into `folder` and return its `DatasetInfo` with format and statistics filled in.

    Cost: one pass; memory for one episode. `max_shard_bytes` bounds the compressed frames of a shard; an
    episode larger than that gets a shard of its own. If anything fails, what was written so far is taken
    away.
    Raises: StorageError if the folder holds a dataset already, or an episode does not fit the format or
    repeats an id.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _refuse_leftovers(folder)
    info = dataclasses.replace(info, format=format)
    writer = _NpzWriter(folder) if format == "npz" else _ParquetWriter(folder, info, max_shard_bytes)
    try:
        with writer:
            rows, statistics = _write_episodes(writer, info, episodes)
        _write_episode_table(folder, rows)
        info = dataclasses.replace(info, statistics=statistics)
        write_bytes(folder / DATASET_FILE, info_to_json(info))
    except BaseException:
        for path in _dataset_files(folder):
            path.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    return info


@runtime_checkable
class _EpisodeWriter(Protocol):
    def write(self, episode: Episode) -> int: ...


def _write_episodes(
    writer: _EpisodeWriter, info: DatasetInfo, episodes: Iterable[Episode]
) -> tuple[list[EpisodeInfo], dict[Split, SplitStatistics]]:
    rows: list[EpisodeInfo] = []
    seen: set[str] = set()
    statistics: dict[Split, SplitStatistics] = {
        split: SplitStatistics(0, 0, 0, 0, (0,) * len(info.action_names)) for split in SPLITS
    }
    for episode in episodes:
        check_episode(episode, info)
        if episode.episode_id in seen:
            raise StorageError(
                f"episode {episode.episode_id!r}",
                expected="an id that no other episode of the dataset has",
                found="the same id twice",
                next_step="name each episode after its source",
            )
        seen.add(episode.episode_id)
        shard = writer.write(episode)
        rows.append(
            EpisodeInfo(
                episode_id=episode.episode_id,
                source=episode.source,
                split=episode.split,
                num_frames=episode.num_frames,
                fps=info.fps,
                shard=shard,
                digest=episode_digest(episode),
            )
        )
        statistics[episode.split] = _count(statistics[episode.split], episode)
    return rows, statistics


def _count(counts: SplitStatistics, episode: Episode) -> SplitStatistics:
    actions = np.bincount(episode.action, minlength=len(counts.action_counts))
    return SplitStatistics(
        num_episodes=counts.num_episodes + 1,
        num_frames=counts.num_frames + episode.num_frames,
        num_terminated=counts.num_terminated + int(episode.terminated.sum()),
        num_truncated=counts.num_truncated + int(episode.truncated.sum()),
        action_counts=tuple(int(a + b) for a, b in zip(counts.action_counts, actions, strict=True)),
    )


class _NpzWriter(ExitStack):
    """One NPZ file an episode."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._next = 0

    def write(self, episode: Episode) -> int:
        """Write one file and return its number."""
        number, self._next = self._next, self._next + 1
        write_episode(self._folder / npz_file(number), episode)
        return number


class _ParquetWriter(ExitStack):
    """Shards of chunks beside shards of steps."""

    def __init__(self, folder: Path, info: DatasetInfo, max_shard_bytes: int) -> None:
        super().__init__()
        self._folder = folder
        self._codec = make_codec(info.codec)
        self._frames_per_chunk = info.frames_per_chunk
        self._max_shard_bytes = max_shard_bytes
        self._shard = -1
        self._num_bytes = 0
        self._num_chunks = 0

    def write(self, episode: Episode) -> int:
        """Append one episode to the open shard, or open the next, and return the shard's number."""
        blocks = _encode(self._codec, episode, self._frames_per_chunk)
        num_bytes = sum(map(len, blocks))
        is_full = self._num_bytes + num_bytes > self._max_shard_bytes
        if self._shard < 0 or is_full or self._num_chunks + len(blocks) > MAX_SHARD_CHUNKS:
            self._open_next()
        self._num_bytes += num_bytes
        self._num_chunks += len(blocks)
        for i, block in enumerate(blocks):
            first = i * self._frames_per_chunk
            self._frames.write_row_group(
                {
                    "episode_id": [episode.episode_id],
                    "chunk_index": [i],
                    "first_frame": [first],
                    "num_frames": [min(self._frames_per_chunk, episode.num_frames - first)],
                    "codec": [self._codec.name],
                    "pixels": [block],
                }
            )
        self._steps.write_row_group(
            {
                "episode_id": [episode.episode_id] * episode.num_frames,
                "frame_index": np.arange(episode.num_frames),
                **{name: getattr(episode, name) for name in STEP_DTYPES},
            }
        )
        return self._shard

    def _open_next(self) -> None:
        self.close()
        self._shard += 1
        self._num_bytes = self._num_chunks = 0
        self._frames = self._table(frames_file(self._shard), FRAME_COLUMNS)
        self._steps = self._table(steps_file(self._shard), STEP_COLUMNS, compression="zstd")

    def _table(self, name: str, schema: dict[str, str], *, compression: Compression = "none") -> TableWriter:
        file = self.enter_context(replacing(self._folder / name))
        writer = TableWriter(file, schema, compression=compression)
        self.callback(writer.close)
        return writer


def _encode(codec: ChunkCodec, episode: Episode, frames_per_chunk: int) -> list[bytes]:
    return [
        codec.encode(episode.frames[first : first + frames_per_chunk])
        for first in range(0, episode.num_frames, frames_per_chunk)
    ]


def _write_episode_table(folder: Path, rows: list[EpisodeInfo]) -> None:
    columns = {name: [getattr(row, name) for row in rows] for name in EPISODE_COLUMNS}
    with replacing(folder / EPISODES_FILE) as file:
        write_table(file, EPISODE_COLUMNS, columns)


def _dataset_files(folder: Path) -> list[Path]:
    patterns = (DATASET_FILE, EPISODES_FILE, "steps-*.parquet", "frames-*.parquet", "episode-*.npz")
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def _refuse_leftovers(folder: Path) -> None:
    if found := _dataset_files(folder):
        raise StorageError(
            f"{folder}: where a dataset is to be written",
            expected="a folder without dataset files",
            found=f"{found[0].name} and {len(found) - 1} more",
            next_step="write into an empty folder, or delete these files if they are not needed",
        )
