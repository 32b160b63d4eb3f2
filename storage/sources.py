"""Where a reader's frames and steps come from: Parquet shards or NPZ files, behind one protocol."""

from __future__ import annotations

import mmap
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from jaxtyping import UInt8

from storage.arrow import ReadError, TableFile, ValueRanges, open_table, value_ranges
from storage.codec import ChunkError, make_codec
from storage.errors import ShardCorruptError
from storage.npz import read_episode
from storage.records import DatasetInfo, Episode, EpisodeInfo, StepTable
from storage.schema import FRAME_COLUMNS, STEP_COLUMNS, STEP_DTYPES, frames_file, npz_file, steps_file

STEP_CACHE_FRAMES = 2**18  # step tables of this many frames stay in memory: 14 bytes each
NPZ_CACHE_FRAMES = 2**11
_TABLE_COLUMNS = ("action", "reward", "terminated", "truncated")

V = TypeVar("V")


class EpisodeSource(Protocol):
    """Reads parts of one episode; safe to call from several threads."""

    def frames(self, row: EpisodeInfo, start: int, length: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames `start` to `start + length`, a new array."""
        ...

    def steps(self, row: EpisodeInfo) -> StepTable:
        """The steps of the whole episode, shared and read-only."""
        ...

    def episode(self, row: EpisodeInfo) -> Episode:
        """Everything."""
        ...


class BoundedCache(Generic[V]):
    """Keeps the values last used, up to a total number of frames; the newest always stays."""

    def __init__(self, max_frames: int) -> None:
        self._max_frames = max_frames
        self._num_frames = 0
        self._entries: OrderedDict[str, tuple[int, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, num_frames: int, load: Callable[[], V]) -> V:
        """Return the value of `key`, loading it outside the lock where it is not there."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][1]
        value = load()
        with self._lock:
            if key not in self._entries:
                self._entries[key] = (num_frames, value)
                self._num_frames += num_frames
            while self._num_frames > self._max_frames and len(self._entries) > 1:
                self._num_frames -= self._entries.popitem(last=False)[1][0]
        return value


@dataclass(frozen=True)
class _Shard:
    data: memoryview
    ranges: ValueRanges
    steps: TableFile
    first_row: dict[str, int]
    step_group: dict[str, int]

    def block(self, file_row: int) -> memoryview:
        """The compressed chunk in a row, once its checksum agrees."""
        offset, size = int(self.ranges.offset[file_row]), int(self.ranges.size[file_row])
        if zlib.crc32(self.data[offset - 4 : offset + size]) != self.ranges.crc[file_row]:
            raise ChunkError("other bytes than were written (CRC-32 does not match)")
        return self.data[offset : offset + size]


class ParquetSource:
    """Chunks straight from memory-mapped shards; each shard's index is read when it is first needed."""

    def __init__(self, folder: Path, info: DatasetInfo, rows: list[EpisodeInfo], next_step: str) -> None:
        self._folder = folder
        self._info = info
        self._next_step = next_step
        self._codec = make_codec(info.codec)
        self._shards: dict[int, _Shard] = {}
        self._lock = threading.Lock()
        self._steps = BoundedCache[StepTable](STEP_CACHE_FRAMES)
        self._rows: dict[int, list[EpisodeInfo]] = {}
        for row in rows:
            self._rows.setdefault(row.shard, []).append(row)

    def frames(self, row: EpisodeInfo, start: int, length: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Decode the chunks that the clip touches, each as far as needed, into the clip where possible."""
        per_chunk, picture = self._info.frames_per_chunk, (self._info.height, self._info.width, 3)
        out = np.empty((length, *picture), np.uint8)
        for chunk in range(start // per_chunk, (start + length - 1) // per_chunk + 1):
            first = chunk * per_chunk
            begin, end = max(start, first), min(start + length, first + per_chunk)
            target = out[begin - start : end - start]
            if begin == first:
                self._decode(row, chunk, target)
            else:
                frames = np.empty((end - first, *picture), np.uint8)
                self._decode(row, chunk, frames)
                target[:] = frames[begin - first :]
        return out

    def steps(self, row: EpisodeInfo) -> StepTable:
        """From the cache, or one row group of the steps file."""
        return self._steps.get(row.episode_id, row.num_frames, lambda: self._load_steps(row))

    def episode(self, row: EpisodeInfo) -> Episode:
        """All chunks and all step columns."""
        return Episode(
            episode_id=row.episode_id,
            source=row.source,
            split=row.split,
            frames=self.frames(row, 0, row.num_frames),
            **self._step_columns(row, tuple(STEP_DTYPES)),
        )

    def _decode(self, row: EpisodeInfo, chunk: int, out: np.ndarray) -> None:
        shard = self._shard(row.shard)
        file_row = shard.first_row[row.episode_id] + chunk
        try:
            self._codec.decode(shard.block(file_row), out)
        except ChunkError as error:
            raise self._corrupt(
                frames_file(row.shard),
                f"row {file_row} (episode {row.episode_id!r}, chunk {chunk})",
                f"a block of at least {len(out)} frames of {self._info.height}x{self._info.width} pixels",
                error,
            ) from error

    def _load_steps(self, row: EpisodeInfo) -> StepTable:
        columns = self._step_columns(row, _TABLE_COLUMNS)
        for values in columns.values():
            values.flags.writeable = False
        return StepTable(**columns)

    def _step_columns(self, row: EpisodeInfo, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        shard = self._shard(row.shard)
        group = shard.step_group[row.episode_id]
        try:
            columns = shard.steps.arrays(group, names)
        except ReadError as error:
            place = f"row group {group} (episode {row.episode_id!r})"
            raise self._corrupt(steps_file(row.shard), place, f"{row.num_frames} steps", error) from error
        return {name: np.array(columns[name], STEP_DTYPES[name]) for name in names}

    def _shard(self, number: int) -> _Shard:
        shard = self._shards.get(number)
        if shard is not None:
            return shard
        with self._lock:
            if number not in self._shards:
                self._shards[number] = self._open(number)
            return self._shards[number]

    def _open(self, number: int) -> _Shard:
        path = self._folder / frames_file(number)
        try:
            with path.open("rb") as file:
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            ranges = value_ranges(path, "pixels")
            first_row = self._first_rows(open_table(path, FRAME_COLUMNS), number)
        except ReadError as error:
            raise self._corrupt(
                path.name, "index", "a whole Parquet file, one chunk a row group", error
            ) from error
        path = self._folder / steps_file(number)
        try:
            steps = open_table(path, STEP_COLUMNS)
            step_group = self._step_groups(steps, number)
        except ReadError as error:
            raise self._corrupt(
                path.name, "index", "a whole Parquet file, one episode a row group", error
            ) from error
        return _Shard(data, ranges, steps, first_row, step_group)

    def _first_rows(self, table: TableFile, number: int) -> dict[str, int]:
        """Where each episode's chunks begin: in the order of the episode table, which is verified."""
        first_row: dict[str, int] = {}
        file_row = 0
        for row in self._rows[number]:
            found = table.values(file_row, ("episode_id", "chunk_index"))
            if found != {"episode_id": [row.episode_id], "chunk_index": [0]}:
                raise ValueError(
                    f"row {file_row} holds {found} instead of the first chunk of {row.episode_id!r}"
                )
            first_row[row.episode_id] = file_row
            file_row += -(-row.num_frames // self._info.frames_per_chunk)
        if file_row != table.num_row_groups:
            raise ValueError(f"{table.num_row_groups} chunks instead of {file_row}")
        table.close()
        return first_row

    def _step_groups(self, table: TableFile, number: int) -> dict[str, int]:
        rows = self._rows[number]
        if table.row_counts() != [row.num_frames for row in rows]:
            raise ValueError(f"row groups of {table.row_counts()} steps do not match the episode table")
        return {row.episode_id: group for group, row in enumerate(rows)}

    def _corrupt(self, name: str, place: str, expected: str, error: Exception) -> ShardCorruptError:
        return ShardCorruptError(
            f"{self._folder / name}, {place}",
            expected=expected,
            found=f"{type(error).__name__}: {error}",
            next_step=self._next_step,
        )


class NpzSource:
    """Whole episodes from NPZ files; the last few stay in memory."""

    def __init__(self, folder: Path, next_step: str) -> None:
        self._folder = folder
        self._next_step = next_step
        self._cache = BoundedCache[Episode](NPZ_CACHE_FRAMES)

    def frames(self, row: EpisodeInfo, start: int, length: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Inflate the whole episode unless it is one of the last ones read."""
        return self._cached(row).frames[start : start + length].copy()

    def steps(self, row: EpisodeInfo) -> StepTable:
        """The same file."""
        episode = self._cached(row)
        return StepTable(episode.action, episode.reward, episode.terminated, episode.truncated)

    def episode(self, row: EpisodeInfo) -> Episode:
        """The whole file."""
        return read_episode(self._folder / npz_file(row.shard), next_step=self._next_step)

    def _cached(self, row: EpisodeInfo) -> Episode:
        return self._cache.get(row.episode_id, row.num_frames, lambda: self.episode(row))
