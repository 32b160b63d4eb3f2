"""Small random episodes and datasets for the tests of storage and of what reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from storage.records import DatasetFormat, DatasetInfo, Episode, Split
from storage.shards import write_dataset

HEIGHT, WIDTH = 6, 4
INFO = DatasetInfo("flappy", "tiny", HEIGHT, WIDTH, 30.0, ("idle", "flap"))
NEXT_STEP = "again, as it was made"
"""What mends a dataset outside a store."""


def make_episode(
    number: int = 0,
    num_frames: int = 20,
    *,
    terminated: Sequence[int] = (),
    split: Split = "train",
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Episode:
    """A random episode, the same for the same arguments, that ends a life at each frame of `terminated`."""
    rng = np.random.default_rng([number, num_frames])
    dead = np.zeros(num_frames, np.bool_)
    dead[list(terminated)] = True
    return Episode(
        episode_id=f"episode {number}",
        source=f'{{"seed": {number}}}',
        split=split,
        frames=rng.integers(0, 256, (num_frames, *size, 3), dtype=np.uint8),
        action=rng.integers(0, 2, num_frames),
        reward=rng.random(num_frames, dtype=np.float32),
        terminated=dead,
        truncated=np.arange(num_frames) == num_frames - 1,
        pts=np.arange(num_frames) * 512,
        source_frame=np.arange(num_frames) + 100,
    )


def make_episodes(count: int, num_frames: int = 20) -> list[Episode]:
    """Episodes of slightly different lengths; every third is held out."""
    return [
        make_episode(
            i, num_frames + i % 5, terminated=(i % num_frames,), split="train" if i % 3 else "validation"
        )
        for i in range(count)
    ]


def make_dataset(
    folder: Path,
    episodes: Sequence[Episode],
    *,
    format: DatasetFormat = "parquet",
    max_shard_bytes: int = 2**28,
) -> DatasetInfo:
    """Write the episodes as a dataset of the tiny size."""
    return write_dataset(folder, INFO, episodes, format=format, max_shard_bytes=max_shard_bytes)


def assert_same_episode(found: Episode, expected: Episode) -> None:
    """Every field has the same value, shape and dtype."""
    assert (found.episode_id, found.source, found.split) == (
        expected.episode_id,
        expected.source,
        expected.split,
    )
    for name in ("frames", "action", "reward", "terminated", "truncated", "pts", "source_frame"):
        values, wanted = getattr(found, name), getattr(expected, name)
        assert values.dtype == wanted.dtype
        np.testing.assert_array_equal(values, wanted, err_msg=name)
