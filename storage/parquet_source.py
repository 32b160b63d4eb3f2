"""A reader's source for Parquet shards: chunks straight from the file, steps a row group at a time.

A shard's index is read when the shard is first needed. Rows are found by episode id: a shard holds its
episodes in the order of the episode table, and opening it verifies that the ids there are those expected.
Chunks are read with `pread` and not through a memory map: a copy of a few kilobytes keeps the process from
looking as large as the dataset, and a file that is cut off while it is open is an error and not a SIGBUS.
"""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from storage.arrow import ReadError, TableFile, ValueRanges, open_table, value_ranges
from storage.cache import BoundedCache
from storage.codec import ChunkError, make_codec
from storage.errors import ShardCorruptError
from storage.records import DatasetInfo, Episode, EpisodeInfo, StepTable
from storage.schema import (
    FRAME_COLUMNS,
    STEP_COLUMNS,
    STEP_DTYPES,
    frames_file,
    mending_command,
    steps_file,
)

STEP_CACHE_BYTES = 4 * 2**20
_TABLE_COLUMNS = ("action", "reward", "terminated", "truncated")


class ParquetSource:
    """Reads what `write_dataset` wrote with format "parquet"."""

    def __init__(self, folder: Path, info: DatasetInfo, rows: Sequence[EpisodeInfo]) -> None:
        self._folder = folder
        self._info = info
        self._codec = make_codec(info.codec)
        self._rows = rows
        self._shards: dict[int, _Shard] = {}
        self._lock = threading.Lock()
        self._steps = BoundedCache[StepTable](STEP_CACHE_BYTES, size_bytes=lambda steps: steps.num_bytes)

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
        return self._steps.get(row.episode_id, lambda: self._load_steps(row))

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
            place = f"row {file_row} (episode {row.episode_id!r}, chunk {chunk})"
            expected = (
                f"a block of at least {len(out)} frames of {self._info.height}x{self._info.width} pixels"
            )
            raise self._corrupt(frames_file(row.shard), place, expected, error) from error

    def _load_steps(self, row: EpisodeInfo) -> StepTable:
        columns = self._step_columns(row, _TABLE_COLUMNS)
        for values in columns.values():
            values.flags.writeable = False
        return StepTable(**columns)

    def _step_columns(self, row: EpisodeInfo, names: Sequence[str]) -> dict[str, np.ndarray]:
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
        if shard is None:
            with self._lock:
                shard = self._shards.get(number) or self._open(number)
                self._shards[number] = shard
        return shard

    def _open(self, number: int) -> _Shard:
        rows = [row for row in self._rows if row.shard == number]
        name, layout = frames_file(number), "one chunk a row group"
        try:
            path = self._folder / name
            first_row = _first_rows(path, rows, self._info.frames_per_chunk)
            ranges = value_ranges(path, "pixels")
            file = _RandomAccessFile(os.open(path, os.O_RDONLY))
            name, layout = steps_file(number), "one episode a row group"
            steps = open_table(self._folder / name, STEP_COLUMNS)
            return _Shard(file, ranges, first_row, steps, _step_groups(steps, rows))
        except ReadError as error:
            raise self._corrupt(name, "layout", f"a whole Parquet file, {layout}", error) from error

    def _corrupt(self, name: str, place: str, expected: str, error: Exception) -> ShardCorruptError:
        return ShardCorruptError(
            f"{self._folder / name}, {place}",
            expected=expected,
            found=f"{type(error).__name__}: {error}",
            next_step=mending_command(self._folder),
        )


@dataclass(frozen=True)
class _Shard:
    file: _RandomAccessFile
    ranges: ValueRanges
    first_row: dict[str, int]
    steps: TableFile
    step_group: dict[str, int]

    def block(self, file_row: int) -> memoryview:
        """The compressed chunk in a row, once its checksum agrees."""
        page = self.file.read(int(self.ranges.offset[file_row]) - 4, int(self.ranges.size[file_row]) + 4)
        if zlib.crc32(page) != self.ranges.crc[file_row]:
            raise ChunkError("other bytes than were written (CRC-32 does not match)")
        return memoryview(page)[4:]


class _RandomAccessFile:
    """Bytes at an offset, for any number of threads; closes itself with its last reference."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer where the file ends."""
        return os.pread(self._descriptor, size, offset)


def _first_rows(path: Path, rows: Sequence[EpisodeInfo], frames_per_chunk: int) -> dict[str, int]:
    """Where the chunks of each episode begin."""
    first_row: dict[str, int] = {}
    file_row = 0
    with closing(open_table(path, FRAME_COLUMNS)) as table:
        for row in rows:
            found = table.values(file_row, ("episode_id", "chunk_index"))
            if found != {"episode_id": [row.episode_id], "chunk_index": [0]}:
                raise ValueError(
                    f"row {file_row} holds {found} instead of episode {row.episode_id!r}, chunk 0"
                )
            first_row[row.episode_id] = file_row
            file_row += -(-row.num_frames // frames_per_chunk)
        if file_row != table.num_row_groups:
            raise ValueError(f"{table.num_row_groups} chunks instead of {file_row}")
    return first_row


def _step_groups(table: TableFile, rows: Sequence[EpisodeInfo]) -> dict[str, int]:
    """Which row group holds the steps of each episode."""
    for group, row in enumerate(rows):
        found = table.values(group, ("episode_id",))["episode_id"]
        if found != [row.episode_id] * row.num_frames:
            raise ValueError(
                f"row group {group}: {len(found)} steps of {found[:1]} instead of {row.episode_id!r}"
            )
    if table.num_row_groups != len(rows):
        raise ValueError(f"{table.num_row_groups} row groups instead of {len(rows)}")
    return {row.episode_id: group for group, row in enumerate(rows)}
