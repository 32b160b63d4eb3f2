"""Which episodes of a dataset or of latents are damaged: every one decoded and compared with its digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from storage.clips import ClipReader
from storage.errors import ShardCorruptError, StorageError
from storage.latents import LATENTS_FILE, verify_latents
from storage.records import EpisodeInfo
from storage.schema import DATASET_FILE, episode_digest, mending_command


def damaged_units(folder: Path) -> list[str]:
    """Say which episodes of a damaged artifact are hit, and where; empty for artifacts without episodes."""
    try:
        if (folder / DATASET_FILE).is_file():
            return [_place(error) for _, error in verify_dataset(folder) if error]
        if (folder / LATENTS_FILE).is_file():
            return [_place(error) for error in verify_latents(folder)]
    except StorageError as error:
        return [_place(error)]
    return []


def _place(error: StorageError) -> str:
    return f"{error.what}: expected {error.expected}; found {error.found}"


def verify_dataset(folder: Path) -> Iterator[tuple[EpisodeInfo, ShardCorruptError | None]]:
    """Yield each episode with what is wrong with it, or None where it is as it was written.

    Cost: reads and decodes the whole dataset, one episode in memory at a time.
    Raises: StorageError, SchemaVersionError or ShardCorruptError if the dataset cannot be opened at all.
    """
    reader = ClipReader(folder)
    for row in reader.episodes():
        try:
            digest = episode_digest(reader.read_episode(row.episode_id))
        except ShardCorruptError as error:
            yield row, error
            continue
        yield row, None if digest == row.digest else _differs(reader, row, digest)


def _differs(reader: ClipReader, row: EpisodeInfo, digest: str) -> ShardCorruptError:
    return ShardCorruptError(
        f"{reader.folder}: episode {row.episode_id!r} in shard {row.shard}",
        expected=f"digest {row.digest}",
        found=f"digest {digest}",
        next_step=mending_command(reader.folder),
    )
