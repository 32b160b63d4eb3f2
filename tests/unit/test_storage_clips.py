"""Random clips: the right frames, lives kept apart, flat memory, several threads."""

from __future__ import annotations

import dataclasses
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from storage.arrow import write_table
from storage.cache import BoundedCache
from storage.clips import ClipReader
from storage.errors import StorageError
from storage.records import DatasetFormat
from storage.schema import EPISODE_COLUMNS
from tests.episodes import INFO, assert_same_episode, make_dataset, make_episode, make_episodes

FORMATS: tuple[DatasetFormat, ...] = ("parquet", "npz")


@pytest.mark.parametrize("format", FORMATS)
def test_a_clip_is_a_slice_of_its_episode(tmp_path: Path, format: DatasetFormat) -> None:
    episode = make_episode(num_frames=21, terminated=(7,))
    make_dataset(tmp_path, [make_episode(1), episode], format=format)
    reader = ClipReader(tmp_path)
    for start, length in [(0, 1), (0, 8), (8, 8), (7, 2), (3, 10), (20, 1), (0, 21), (15, 6)]:
        clip = reader.read("episode 0", start, length)
        assert (clip.episode_id, clip.start) == ("episode 0", start)
        for name in ("frames", "action", "reward", "terminated", "truncated"):
            values = getattr(clip, name)
            np.testing.assert_array_equal(values, getattr(episode, name)[start : start + length])
            assert values.flags.writeable
            assert values.flags.c_contiguous


@pytest.mark.parametrize("format", FORMATS)
def test_episodes_come_back_whole_and_by_split(tmp_path: Path, format: DatasetFormat) -> None:
    episodes = make_episodes(7)
    info = make_dataset(tmp_path, episodes, format=format, max_shard_bytes=4000)
    reader = ClipReader(tmp_path)
    assert reader.info == info
    assert [row.episode_id for row in reader.episodes()] == [episode.episode_id for episode in episodes]
    assert [row.episode_id for row in reader.episodes("validation")] == [
        "episode 0",
        "episode 3",
        "episode 6",
    ]
    assert {row.fps for row in reader.episodes()} == {30.0}
    for episode in episodes:
        assert_same_episode(reader.read_episode(episode.episode_id), episode)


@pytest.mark.parametrize("format", FORMATS)
def test_steps_are_shared_and_read_only(tmp_path: Path, format: DatasetFormat) -> None:
    make_dataset(tmp_path, [make_episode()], format=format)
    reader = ClipReader(tmp_path)
    steps = reader.steps("episode 0")
    np.testing.assert_array_equal(steps.action, make_episode().action)
    with pytest.raises(ValueError, match="read-only"):
        steps.action[0] = 1
    reader.read("episode 0", 0, 8).action[:] = 1
    np.testing.assert_array_equal(reader.steps("episode 0").action, make_episode().action)


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    for format in FORMATS:
        make_dataset(tmp_path / format, make_episodes(3), format=format)
    digests = [[row.digest for row in ClipReader(tmp_path / format).episodes()] for format in FORMATS]
    assert digests[0] == digests[1]


def test_clips_may_end_in_the_crash_frame_and_not_go_beyond(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode(0, 12, terminated=(4, 5)), make_episode(1, 3, split="validation")])
    reader = ClipReader(tmp_path)
    indices, starts = reader.clip_starts(3, "train")
    assert starts.tolist() == [0, 1, 2, 6, 7, 8, 9]
    assert set(indices.tolist()) == {0}
    assert reader.clip_starts(1, "train")[1].tolist() == list(range(12))
    assert reader.clip_starts(3, "validation")[1].tolist() == [0]
    assert len(reader.clip_starts(4, "validation")[1]) == 0
    assert reader.clip_starts(3)[0].tolist() == [0] * 7 + [1]


@pytest.mark.parametrize(("start", "length"), [(-1, 4), (0, 0), (0, 21), (17, 4), (20, 1)])
def test_a_range_outside_the_episode_is_refused(tmp_path: Path, start: int, length: int) -> None:
    make_dataset(tmp_path, [make_episode()])
    with pytest.raises(StorageError, match="expected a range within its 20 frames"):
        ClipReader(tmp_path).read("episode 0", start, length)


def test_unknown_episodes_and_folders_are_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path / "dataset", [make_episode()])
    with pytest.raises(StorageError, match=r"'nobody'.*found no such id"):
        ClipReader(tmp_path / "dataset").steps("nobody")
    with pytest.raises(StorageError, match=r"expected a folder with a dataset\.json"):
        ClipReader(tmp_path / "elsewhere").episodes()


@pytest.mark.parametrize("format", FORMATS)
def test_several_threads_may_share_a_reader(tmp_path: Path, format: DatasetFormat) -> None:
    episodes = {episode.episode_id: episode for episode in make_episodes(12)}
    make_dataset(tmp_path, list(episodes.values()), format=format, max_shard_bytes=6000)
    reader = ClipReader(tmp_path)

    def read_some(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        for name in rng.choice(list(episodes), 60):
            start = int(rng.integers(12))
            expected = episodes[str(name)]
            clip = reader.read(str(name), start, 8)
            if not np.array_equal(clip.frames, expected.frames[start : start + 8]):
                return False
            if not np.array_equal(clip.action, expected.action[start : start + 8]):
                return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(read_some, range(6)))


def test_a_bounded_cache_drops_what_was_not_used_lately() -> None:
    cache = BoundedCache[int](10, size_bytes=lambda value: value)
    loads: list[str] = []

    def get(key: str, value: int) -> int:
        return cache.get(key, lambda: (loads.append(key), value)[1])

    for key, value in [("a", 4), ("b", 4), ("a", 4), ("c", 4), ("a", 4), ("b", 4)]:
        assert get(key, value) == value
    assert loads == ["a", "b", "c", "b"]
    assert get("larger than the cache", 50) == 50
    assert get("larger than the cache", 50) == 50
    assert loads[-2:] == ["b", "larger than the cache"]


def read_peak_and_index_bytes(folder: Path, num_simulated: int) -> tuple[int, int]:
    """Peak of memory while 200 random clips are read, and what the opened reader holds.

    The index names `num_simulated` more episodes than the 30 that are on disk.
    """
    make_dataset(folder, make_episodes(30), max_shard_bytes=6000)
    rows = ClipReader(folder).episodes()
    more = [
        dataclasses.replace(
            rows[0], episode_id=f"simulated {i}", source=rows[0].source + str(i), shard=1000 + i
        )
        for i in range(num_simulated)
    ]
    columns = {name: [getattr(row, name) for row in [*rows, *more]] for name in EPISODE_COLUMNS}
    with (folder / "episodes.parquet").open("wb") as file:
        write_table(file, EPISODE_COLUMNS, columns)
    tracemalloc.start()
    try:
        reader = ClipReader(folder)
        for row in rows:
            reader.read(row.episode_id, 0, 8)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for number in np.random.default_rng(0).integers(len(rows), size=200):
            reader.read(rows[number].episode_id, int(number) % 12, 8)
        return tracemalloc.get_traced_memory()[1] - held, held
    finally:
        tracemalloc.stop()


def test_memory_is_flat_from_30_to_3000_episodes(tmp_path: Path) -> None:
    small_peak, small_index = read_peak_and_index_bytes(tmp_path / "small", 0)
    large_peak, large_index = read_peak_and_index_bytes(tmp_path / "large", 2970)
    assert large_peak < small_peak + 16 * 1024
    assert (large_index - small_index) / 2970 < 1000  # bytes an episode


def test_step_tables_are_dropped_beyond_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.parquet_source.STEP_CACHE_BYTES", 1000)
    episodes = make_episodes(10)
    make_dataset(tmp_path, episodes)
    reader = ClipReader(tmp_path)
    for _ in range(2):
        for episode in episodes:
            np.testing.assert_array_equal(reader.steps(episode.episode_id).reward, episode.reward)


def test_info_says_what_the_writer_was_told(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode()], format="npz")
    info = ClipReader(tmp_path).info
    assert (info.game, info.name, info.format) == (INFO.game, INFO.name, "npz")
