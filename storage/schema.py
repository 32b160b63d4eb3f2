"""Names, columns and JSON of dataset format 1, and the rules an episode must obey to be stored.

The one place that knows how `dataset.json` is spelt and what the files are called. Pure functions; reading
and writing shards is `storage.shards` and `storage.clips`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from storage.errors import SchemaVersionError, ShardCorruptError, StorageError
from storage.records import SCHEMA_VERSION, SPLITS, CodecInfo, DatasetInfo, Episode, SplitStatistics

DATASET_FILE = "dataset.json"
EPISODES_FILE = "episodes.parquet"

EPISODE_COLUMNS = {
    "episode_id": "string",
    "source": "string",
    "split": "string",
    "num_frames": "int64",
    "fps": "float64",
    "shard": "int64",
    "digest": "string",
}
STEP_COLUMNS = {
    "episode_id": "string",
    "frame_index": "int64",
    "pts": "int64",
    "source_frame": "int64",
    "action": "int64",
    "reward": "float32",
    "terminated": "bool",
    "truncated": "bool",
}
FRAME_COLUMNS = {
    "episode_id": "string",
    "chunk_index": "int64",
    "first_frame": "int64",
    "num_frames": "int64",
    "codec": "string",
    "pixels": "large_binary",
}
STEP_DTYPES = {
    "action": np.dtype(np.int64),
    "reward": np.dtype(np.float32),
    "terminated": np.dtype(np.bool_),
    "truncated": np.dtype(np.bool_),
    "pts": np.dtype(np.int64),
    "source_frame": np.dtype(np.int64),
}


def steps_file(shard: int) -> str:
    """The name of the Parquet file with the steps of shard number `shard`."""
    return f"steps-{shard:05d}.parquet"


def frames_file(shard: int) -> str:
    """The name of the Parquet file with the frames of shard number `shard`."""
    return f"frames-{shard:05d}.parquet"


def npz_file(shard: int) -> str:
    """The name of the NPZ file with the whole episode number `shard`."""
    return f"episode-{shard:05d}.npz"


def mending_command(folder: Path) -> str:
    """What mends the damaged artifact, or other folder of data, as an error's next step."""
    if folder.parent.parent.name == "artifacts":
        name = f"{folder.parent.name}/{folder.name}"
        return f"run `worldgen artifacts verify {name}`, then the build that made it again"
    return f"make {folder} again, as it was made"


def info_to_json(info: DatasetInfo) -> bytes:
    """Spell `dataset.json`; the same facts give the same bytes."""
    return (json.dumps(asdict(info), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def info_from_json(data: bytes, *, path: Path) -> DatasetInfo:
    """Read `dataset.json`.

    Raises: SchemaVersionError for another version of the format; ShardCorruptError if it is not what a writer
    of this version writes. `path` is for messages only.
    """
    try:
        facts = cast("dict[str, Any]", json.loads(data))
        version = facts["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_json(path, error) from error
    if version != SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{path}: dataset format",
            expected=f"schema_version {SCHEMA_VERSION}",
            found=f"schema_version {version!r}",
            next_step="use the version of worldgen that wrote it, or build the dataset again",
        )
    try:
        return _parse_info(facts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad_json(path, error) from error


def _parse_info(facts: dict[str, Any]) -> DatasetInfo:
    facts["action_names"] = tuple(facts["action_names"])
    facts["codec"] = CodecInfo(**facts["codec"])
    for counts in facts["statistics"].values():
        counts["action_counts"] = tuple(counts["action_counts"])
    facts["statistics"] = {name: SplitStatistics(**counts) for name, counts in facts["statistics"].items()}
    return DatasetInfo(**facts)


def _bad_json(path: Path, error: Exception) -> ShardCorruptError:
    return ShardCorruptError(
        f"{path}: dataset description",
        expected=f"the JSON of a dataset, format {SCHEMA_VERSION}",
        found=f"{type(error).__name__}: {error}",
        next_step=mending_command(path.parent),
    )


def episode_digest(episode: Episode) -> str:
    """The SHA-256 of everything an episode says except its split.

    It covers names, shapes, values and dtypes, so it is the same in every format, codec and shard.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([episode.episode_id, episode.source, *episode.frames.shape]).encode())
    digest.update(np.ascontiguousarray(episode.frames).data)
    for name in STEP_DTYPES:
        digest.update(np.ascontiguousarray(getattr(episode, name)).data)
    return digest.hexdigest()


def check_episode(episode: Episode, info: DatasetInfo) -> None:
    """Refuse an episode that the format cannot hold.

    Raises: StorageError naming the episode and the field, for an empty episode, a wrong picture size, dtype
    or length, an action without a name, or an unknown split.
    """

    def refuse(field: str, expected: str, found: object) -> StorageError:
        return StorageError(
            f"episode {episode.episode_id!r}, {field}",
            expected=expected,
            found=str(found),
            next_step="correct the code or the recording that made the episode",
        )

    frames = episode.frames
    if frames.ndim != 4 or frames.shape[0] < 1 or frames.shape[1:] != (info.height, info.width, 3):
        raise refuse("frames", f"shape (t >= 1, {info.height}, {info.width}, 3)", frames.shape)
    if frames.dtype != np.uint8:
        raise refuse("frames", "uint8", frames.dtype)
    for name, dtype in STEP_DTYPES.items():
        values = cast("np.ndarray", getattr(episode, name))
        if values.dtype != dtype or values.shape != (frames.shape[0],):
            raise refuse(
                name, f"{dtype} of shape ({frames.shape[0]},)", f"{values.dtype} of shape {values.shape}"
            )
    if episode.split not in SPLITS:
        raise refuse("split", f"one of {', '.join(SPLITS)}", repr(episode.split))
    if episode.action.min() < 0 or episode.action.max() >= len(info.action_names):
        actions = f"{episode.action.min()} to {episode.action.max()}"
        raise refuse("action", f"0 to {len(info.action_names) - 1}", actions)
