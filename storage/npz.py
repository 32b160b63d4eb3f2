"""One episode as one NPZ file, for people who want plain NumPy (and for the units of a capture that resumes).

Opens with `numpy.load(path)`; nothing is pickled. A file is deflated as a whole, so a random clip costs the
whole episode: Parquet shards are the format to train from.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import cast

import numpy as np

from storage.atomic import replacing
from storage.errors import ShardCorruptError
from storage.records import Episode, Split
from storage.schema import STEP_DTYPES

_NAMES = ("episode_id", "source", "split")


def write_episode(path: Path, episode: Episode) -> None:
    """Write an episode; the same episode gives the same bytes."""
    arrays = {name: np.array(getattr(episode, name)) for name in (*_NAMES, "frames", *STEP_DTYPES)}
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_episode(path: Path, *, next_step: str = "delete the file and make it again") -> Episode:
    """Read an episode that `write_episode` wrote.

    Raises: ShardCorruptError, with `next_step`, if the file is damaged or missing or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = {name: str(arrays[name]) for name in _NAMES}
            return Episode(
                episode_id=names["episode_id"],
                source=names["source"],
                split=cast("Split", names["split"]),
                frames=arrays["frames"],
                **{name: arrays[name].astype(dtype, copy=False) for name, dtype in STEP_DTYPES.items()},
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ShardCorruptError(
            f"{path}: episode",
            expected="an NPZ file with one whole episode",
            found=f"{type(error).__name__}: {error}",
            next_step=next_step,
        ) from error
