"""Latent shards: plain .npy files read through memory maps, and the index that finds an episode in them.

    latents.json         shape, dtype, and for each episode its shard, first row, number of frames and CRC-32
    latents-00000.npy    (t, c, h, w), whole episodes one after the other, up to 256 MiB

Latents do not compress, so nothing is deflated. What else a dataset knows of an episode (actions, ends,
splits) stays in the dataset: read it through `storage.clips.ClipReader` under the same episode id.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from jaxtyping import Float32

from storage.atomic import disk_errors, replacing, write_json
from storage.errors import SchemaVersionError, ShardCorruptError, StorageError
from storage.schema import mending_command

_Kind = type[BaseException] | None
_Trace = TracebackType | None
LATENTS_FILE = "latents.json"
LATENT_SCHEMA_VERSION = 1
MAX_SHARD_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class LatentInfo:
    """What is true of every latent: its shape (channels, height, width), how it is stored, who makes it."""

    game: str
    channels: int
    height: int
    width: int
    dtype: Literal["float32", "float16"] = "float32"
    stage: str = "encode_latents"
    schema_version: int = LATENT_SCHEMA_VERSION

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, h, w) of one frame."""
        return self.channels, self.height, self.width


@dataclass(frozen=True, slots=True)
class LatentEntry:
    """Where one episode lies: rows `first` to `first + num_frames` of a shard; `crc` is their CRC-32."""

    shard: int
    first: int
    num_frames: int
    crc: int


def latents_file(shard: int) -> str:
    """The name of the file with shard number `shard`."""
    return f"latents-{shard:05d}.npy"


class LatentWriter:
    """Writes episodes one by one, as a context manager: commits at its end, or takes everything away.

    `latents.json` comes last. The same episodes in the same order give the same bytes.
    """

    def __init__(self, folder: Path, info: LatentInfo, *, max_shard_bytes: int = MAX_SHARD_BYTES) -> None:
        self._folder = folder
        self._info = info
        self._max_shard_bytes = max_shard_bytes
        self._entries: dict[str, LatentEntry] = {}
        self._stack = ExitStack()
        self._shard_stack = ExitStack()
        self._file: BinaryIO
        self._shard = -1
        self._rows = 0

    def __enter__(self) -> LatentWriter:
        """Make the folder; refuse one that holds latents already."""
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        if found := _latent_files(self._folder):
            raise StorageError(
                f"{self._folder}: where latents are to be written",
                expected="a folder without latents",
                found=f"{found[0].name} and {len(found) - 1} more",
                next_step="write into an empty folder, or delete these files if they are not needed",
            )
        self._stack.push(self._take_away_after_error)
        self._stack.push(self._commit_after_success)
        self._stack.enter_context(self._shard_stack)
        return self

    def __exit__(self, kind: _Kind, error: BaseException | None, trace: _Trace) -> None:
        """Finish the open shard, commit after success, leave nothing behind after an error."""
        self._stack.__exit__(kind, error, trace)

    def write(self, episode_id: str, latents: Float32[np.ndarray, "t c h w"]) -> None:
        """Append one whole episode.

        Raises: StorageError for another shape, an empty episode, values that are not finite (float16 holds up
        to 65504) or a repeated id.
        """
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(latents, dtype=self._info.dtype)
        self._check(episode_id, stored)
        if self._shard < 0 or (self._rows + len(stored)) * stored[0].nbytes > self._max_shard_bytes:
            self._open_next()
        data = stored.data.cast("B")
        self._file.write(data)
        self._entries[episode_id] = LatentEntry(self._shard, self._rows, len(stored), zlib.crc32(data))
        self._rows += len(stored)

    def _check(self, episode_id: str, stored: np.ndarray) -> None:
        found = None
        if stored.shape[1:] != self._info.shape or len(stored) == 0:
            found = f"shape {stored.shape}"
        elif not np.isfinite(stored).all():
            found = f"values that are not finite as {self._info.dtype}"
        elif episode_id in self._entries:
            found = "the same id twice"
        if found:
            raise StorageError(
                f"latents of episode {episode_id!r}",
                expected=f"finite {self._info.dtype}, t >= 1 times {self._info.shape}",
                found=found,
                next_step="correct the code or the autoencoder that made them",
            )

    def _open_next(self) -> None:
        self._shard_stack.close()
        self._shard, self._rows = self._shard + 1, 0
        path = self._folder / latents_file(self._shard)
        self._file = self._shard_stack.enter_context(replacing(path))
        self._write_header()
        self._shard_stack.callback(self._write_header)  # once more, with the final number of rows

    def _write_header(self) -> None:
        """The .npy header; NumPy leaves room in it for the number of rows to grow."""
        shape = (self._rows, *self._info.shape)
        header = {"descr": np.dtype(self._info.dtype).str, "fortran_order": False, "shape": shape}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(cast("Any", self._file), header)

    def _commit_after_success(self, _kind: _Kind, error: BaseException | None, _trace: _Trace) -> None:
        if error is None:
            entries = {name: asdict(entry) for name, entry in self._entries.items()}
            write_json(self._folder / LATENTS_FILE, {**asdict(self._info), "episodes": entries})

    def _take_away_after_error(self, _kind: _Kind, error: BaseException | None, _trace: _Trace) -> None:
        if error is not None:
            for path in _latent_files(self._folder):
                path.unlink(missing_ok=True)


class LatentReader:
    """Reads clips of latents by episode id; files are mapped when they are first needed.

    Memory: the index, about 200 bytes an episode. May be used from several threads at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def info(self) -> LatentInfo:
        """What `latents.json` says of every latent.

        Raises: StorageError if there are no latents; SchemaVersionError; ShardCorruptError.
        """
        return self._index[0]

    @property
    def episodes(self) -> Mapping[str, LatentEntry]:
        """Where each episode lies, by id."""
        return self._index[1]

    def read(self, episode_id: str, start: int, length: int) -> Float32[np.ndarray, "t c h w"]:
        """Read the latents of frames `start` to `start + length`; the array is the caller's own.

        Raises: StorageError for an unknown id or a range outside the episode; ShardCorruptError for a shard
        that is missing or cut off. Flipped bits are found by `verify_latents` only.
        """
        entry = self._index[1].get(episode_id)
        if entry is None or start < 0 or length < 1 or start + length > entry.num_frames:
            raise StorageError(
                f"{self.folder}: latents of episode {episode_id!r}",
                expected=f"a range within its {entry.num_frames} frames" if entry else "an id of the dataset",
                found=f"{length} frames from {start} on" if entry else "no such id",
                next_step="read episodes and ranges of the dataset that the latents were made from",
            )
        first = entry.first + start
        return np.array(self.map_shard(entry.shard)[first : first + length], np.float32)

    def map_shard(self, number: int) -> np.ndarray:
        """The memory map of a whole shard, read-only, in the dtype that is stored.

        Raises: ShardCorruptError.
        """
        if number not in self._maps:
            path = self.folder / latents_file(number)
            try:
                self._maps[number] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise self.corrupt(path, "a whole .npy file", f"{type(error).__name__}: {error}") from error
        return self._maps[number]

    def corrupt(self, path: Path, expected: str, found: str) -> ShardCorruptError:
        """The error for a damaged file, with the command that mends it."""
        next_step = mending_command(self.folder)
        return ShardCorruptError(f"{path}", expected=expected, found=found, next_step=next_step)

    @cached_property
    def _maps(self) -> dict[int, np.ndarray]:
        return {}

    @cached_property
    def _index(self) -> tuple[LatentInfo, dict[str, LatentEntry]]:
        return _read_index(self.folder)


def verify_latents(folder: Path) -> Iterator[ShardCorruptError]:
    """Compare every episode's bytes with the index; yields an error for each that differs."""
    reader = LatentReader(folder)
    for name, entry in reader.episodes.items():
        path = folder / latents_file(entry.shard)
        try:
            rows = reader.map_shard(entry.shard)[entry.first : entry.first + entry.num_frames]
        except ShardCorruptError as error:
            yield error
            continue
        if rows.shape != (entry.num_frames, *reader.info.shape) or zlib.crc32(rows.tobytes()) != entry.crc:
            place = f"rows {entry.first} to {entry.first + entry.num_frames} (episode {name!r})"
            yield reader.corrupt(
                path, f"CRC-32 {entry.crc:08x} over {place}", "other bytes than were written"
            )


def _read_index(folder: Path) -> tuple[LatentInfo, dict[str, LatentEntry]]:
    path = folder / LATENTS_FILE
    try:
        facts = cast("dict[str, Any]", json.loads(path.read_bytes()))
        version = facts["schema_version"]
        entries = facts.pop("episodes")
        if version == LATENT_SCHEMA_VERSION:
            return LatentInfo(**facts), {name: LatentEntry(**entry) for name, entry in entries.items()}
    except OSError as error:
        raise StorageError(
            f"{folder}: latents",
            expected=f"a folder with a {LATENTS_FILE}",
            found=f"{type(error).__name__}: {error}",
            next_step="name the folder of finished latents, or build them with `worldgen build GAME`",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ShardCorruptError(
            f"{path}: index of latents",
            expected=f"the JSON of latents, format {LATENT_SCHEMA_VERSION}",
            found=f"{type(error).__name__}: {error}",
            next_step=mending_command(folder),
        ) from error
    raise SchemaVersionError(
        f"{path}: format of latents",
        expected=f"schema_version {LATENT_SCHEMA_VERSION}",
        found=f"schema_version {version!r}",
        next_step="use the version of worldgen that wrote them, or encode the latents again",
    )


def _latent_files(folder: Path) -> list[Path]:
    return [*folder.glob(LATENTS_FILE), *sorted(folder.glob("latents-*.npy"))]
