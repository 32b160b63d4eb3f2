"""What the writer puts on disk, seen with other people's libraries, and that it is all or nothing."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import resource
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard

from storage.clips import ClipReader
from storage.errors import StorageError
from storage.records import CodecInfo, DatasetFormat, Episode
from storage.shards import write_dataset
from tests.episodes import INFO, assert_same_episode, make_dataset, make_episode, make_episodes


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_parquet_layout(tmp_path: Path) -> None:
    episode = make_episode(num_frames=36)
    make_dataset(tmp_path, [episode])
    assert names(tmp_path) == [
        "dataset.json",
        "episodes.parquet",
        "frames-00000.parquet",
        "steps-00000.parquet",
    ]
    frames = pq.ParquetFile(tmp_path / "frames-00000.parquet")
    assert (frames.num_row_groups, frames.metadata.num_rows) == (3, 3)
    assert frames.metadata.row_group(0).column(5).compression == "UNCOMPRESSED"
    chunk = frames.read_row_group(2).to_pylist()[0]
    pixels = zstandard.decompress(chunk.pop("pixels"))
    assert chunk == {
        "episode_id": "episode 0", "chunk_index": 2, "first_frame": 32, "num_frames": 4, "codec": "zstd"
    }  # fmt: skip
    np.testing.assert_array_equal(np.frombuffer(pixels, np.uint8).reshape(4, 6, 4, 3), episode.frames[32:])


def test_steps_and_episode_tables_have_the_documented_columns(tmp_path: Path) -> None:
    episode = make_episode(num_frames=5, terminated=(2,), split="validation")
    make_dataset(tmp_path, [episode])
    steps = pq.read_table(tmp_path / "steps-00000.parquet")
    assert steps.column_names == [
        "episode_id", "frame_index", "pts", "source_frame", "action", "reward", "terminated", "truncated"
    ]  # fmt: skip
    assert steps["frame_index"].to_pylist() == [0, 1, 2, 3, 4]
    assert steps["terminated"].to_pylist() == [False, False, True, False, False]
    np.testing.assert_array_equal(steps["pts"].to_numpy(), episode.pts)
    row = pq.read_table(tmp_path / "episodes.parquet").to_pylist()[0]
    assert len(row.pop("digest")) == 64
    assert row == {
        "episode_id": "episode 0", "source": '{"seed": 0}', "split": "validation",
        "num_frames": 5, "fps": 30.0, "shard": 0,
    }  # fmt: skip


def test_npz_needs_nothing_but_numpy(tmp_path: Path) -> None:
    episodes = make_episodes(2)
    make_dataset(tmp_path, episodes, format="npz")
    assert names(tmp_path) == ["dataset.json", "episode-00000.npz", "episode-00001.npz", "episodes.parquet"]
    with np.load(tmp_path / "episode-00001.npz", allow_pickle=False) as arrays:
        assert str(arrays["episode_id"]) == "episode 1"
        np.testing.assert_array_equal(arrays["frames"], episodes[1].frames)
        np.testing.assert_array_equal(arrays["action"], episodes[1].action)


def test_statistics_count_each_split(tmp_path: Path) -> None:
    episodes = [make_episode(0, 20, terminated=(3, 9)), make_episode(1, 10, split="validation")]
    info = make_dataset(tmp_path, episodes)
    train, validation = info.statistics["train"], info.statistics["validation"]
    assert (train.num_episodes, train.num_frames, train.num_terminated, train.num_truncated) == (1, 20, 2, 1)
    assert train.action_counts == tuple(np.bincount(episodes[0].action, minlength=2))
    assert (validation.num_episodes, validation.num_frames) == (1, 10)
    assert json.loads((tmp_path / "dataset.json").read_text())["statistics"]["train"]["num_frames"] == 20


@pytest.mark.parametrize("format", ["parquet", "npz"])
def test_the_same_episodes_give_the_same_bytes(tmp_path: Path, format: DatasetFormat) -> None:
    for name in ("first", "second"):
        make_dataset(tmp_path / name, make_episodes(5), format=format, max_shard_bytes=4000)
    assert names(tmp_path / "first") == names(tmp_path / "second")
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_shards_hold_whole_episodes_up_to_their_limit(tmp_path: Path) -> None:
    episodes = [*make_episodes(6), make_episode(99, 100)]
    make_dataset(tmp_path, episodes, max_shard_bytes=4000)
    rows = ClipReader(tmp_path).episodes()
    shards = [row.shard for row in rows]
    assert shards == sorted(shards)
    assert shards[-1] == shards[-2] + 1  # larger than a shard: one of its own
    assert 2 < max(shards) + 1 == len(list(tmp_path.glob("frames-*.parquet"))) < len(episodes)
    for shard in range(max(shards)):
        assert (tmp_path / f"frames-{shard:05d}.parquet").stat().st_size < 4000 + 2**14
    for episode in episodes:
        assert_same_episode(ClipReader(tmp_path).read_episode(episode.episode_id), episode)


def test_another_codec_and_chunk_size(tmp_path: Path) -> None:
    episode = make_episode(num_frames=20)
    info = dataclasses.replace(INFO, codec=CodecInfo("raw", 0), frames_per_chunk=3)
    write_dataset(tmp_path, info, [episode])
    assert pq.ParquetFile(tmp_path / "frames-00000.parquet").num_row_groups == 7
    assert_same_episode(ClipReader(tmp_path).read_episode("episode 0"), episode)


@pytest.mark.parametrize("format", ["parquet", "npz"])
def test_a_dataset_without_episodes(tmp_path: Path, format: DatasetFormat) -> None:
    make_dataset(tmp_path, [], format=format)
    reader = ClipReader(tmp_path)
    assert reader.episodes() == []
    assert len(reader.clip_starts(8)[0]) == 0


@pytest.mark.parametrize("format", ["parquet", "npz"])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, format: DatasetFormat) -> None:
    def episodes() -> Iterator[Episode]:
        yield from make_episodes(4)
        raise KeyboardInterrupt

    (tmp_path / "of-somebody-else.json").touch()
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, INFO, episodes(), format=format, max_shard_bytes=3000)
    assert names(tmp_path) == ["of-somebody-else.json"]


def test_an_id_may_come_only_once(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"'episode 0'.*found the same id twice"):
        make_dataset(tmp_path, [make_episode(), make_episode()])
    assert names(tmp_path) == []


def test_a_dataset_is_never_overwritten(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode()])
    before = (tmp_path / "frames-00000.parquet").read_bytes()
    with pytest.raises(StorageError, match=r"found dataset\.json and 3 more"):
        make_dataset(tmp_path, [make_episode(1)], format="npz")
    assert (tmp_path / "frames-00000.parquet").read_bytes() == before


def write_on_a_full_disk(folder: Path, format: DatasetFormat, said: Connection) -> None:
    """No file may grow beyond 20 kB: what a full disk looks like from inside."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        make_dataset(folder, [make_episode(num_frames=400)], format=format)
    except StorageError as error:
        said.send(str(error))
    else:
        said.send("no error")


@pytest.mark.parametrize("format", ["parquet", "npz"])
def test_a_full_disk_is_one_clear_error(tmp_path: Path, format: DatasetFormat) -> None:
    # In a process of its own: the limit would hold for the test runner's own output as well.
    heard, said = multiprocessing.Pipe(duplex=False)
    writer = multiprocessing.get_context("spawn").Process(
        target=write_on_a_full_disk, args=(tmp_path, format, said)
    )
    writer.start()
    assert heard.poll(60)
    assert "cannot write to" in heard.recv()
    writer.join()
    assert names(tmp_path) == []


def test_a_read_only_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write to"):
        make_dataset(tmp_path / "file" / "dataset", [make_episode()])
