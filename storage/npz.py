"""One episode as one NPZ file, for people who want plain NumPy, and for units of work that resume.

Opens with `numpy.load(path)`; nothing is pickled. An array is deflated as a whole, so a random clip costs the
whole episode: Parquet shards are the format to train from.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from storage.atomic import replacing
from storage.errors import ShardCorruptError
from storage.records import Episode, Split, StepTable
from storage.schema import STEP_DTYPES

_NAMES = ("episode_id", "source", "split")
_NEXT_STEP = "delete the file and make it again"


def write_episode(path: Path, episode: Episode) -> None:
    """Write an episode; the same episode gives the same bytes."""
    arrays = {name: np.array(getattr(episode, name)) for name in (*_NAMES, "frames", *STEP_DTYPES)}
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_episode(path: Path, *, next_step: str = _NEXT_STEP) -> Episode:
    """Read an episode that `write_episode` wrote.

    Raises: ShardCorruptError, with `next_step`, if the file is damaged, missing or holds something else.
    """
    with _arrays(path, next_step) as arrays:
        return Episode(
            episode_id=str(arrays["episode_id"]),
            source=str(arrays["source"]),
            split=cast("Split", str(arrays["split"])),
            frames=arrays["frames"],
            **{name: _steps(arrays, name) for name in STEP_DTYPES},
        )


def read_steps(path: Path, *, next_step: str = _NEXT_STEP) -> tuple[str, StepTable]:
    """Read an episode's id and steps and leave its frames alone; the arrays are read-only.

    Raises: ShardCorruptError, with `next_step`, if the file is damaged, missing or holds something else.
    """
    with _arrays(path, next_step) as arrays:
        names = ("action", "reward", "terminated", "truncated")
        columns = {name: _steps(arrays, name) for name in names}
        for values in columns.values():
            values.flags.writeable = False
        return str(arrays["episode_id"]), StepTable(**columns)


def _steps(arrays: Any, name: str) -> np.ndarray:
    values = cast("np.ndarray", arrays[name])
    if values.dtype != STEP_DTYPES[name]:
        raise ValueError(f"{name} is {values.dtype} instead of {STEP_DTYPES[name]}")
    return values


@contextmanager
def _arrays(path: Path, next_step: str) -> Generator[Any]:
    try:
        # opened here because np.load leaves the file open when it is not an archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ShardCorruptError(
            f"{path}: episode",
            expected="an NPZ file with one whole episode",
            found=f"{type(error).__name__}: {error}",
            next_step=next_step,
        ) from error
