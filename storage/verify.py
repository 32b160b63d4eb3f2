"""A full check of a dataset: every chunk decoded, every step read, every episode compared with its digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from storage.clips import ClipReader
from storage.errors import ShardCorruptError
from storage.records import EpisodeInfo
from storage.schema import episode_digest, mending_command


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
        next_step=mending_command(reader.info.game, reader.info.stage),
    )
