"""Damaged datasets: every error names file, row and the command that mends it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.arrow import value_ranges
from storage.clips import ClipReader
from storage.errors import SchemaVersionError, ShardCorruptError
from storage.npz import read_episode, write_episode
from storage.records import DatasetFormat
from storage.shards import write_dataset
from storage.verify import verify_dataset
from tests.episodes import INFO, NEXT_STEP, make_dataset, make_episode, make_episodes


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def read_everything(folder: Path) -> None:
    reader = ClipReader(folder)
    for row in reader.episodes():
        reader.read_episode(row.episode_id)
        reader.steps(row.episode_id)


def test_a_corrupt_chunk_names_its_file_row_and_remedy(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode(0, 36), make_episode(1, 36)])
    path = tmp_path / "frames-00000.parquet"
    ranges = value_ranges(path, "pixels")
    flip(path, int(ranges.offset[4] + ranges.size[4] // 2))
    reader = ClipReader(tmp_path)
    reader.read("episode 1", 0, 16)
    with pytest.raises(ShardCorruptError) as caught:
        reader.read("episode 1", 12, 8)
    message = str(caught.value)
    assert "frames-00000.parquet, row 4 (episode 'episode 1', chunk 1)" in message
    assert "CRC-32 does not match" in message
    assert NEXT_STEP in message


def test_any_flipped_bit_of_a_chunk_is_noticed(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode(0, 8)])
    path = tmp_path / "frames-00000.parquet"
    ranges = value_ranges(path, "pixels")
    for position in range(int(ranges.offset[0]), int(ranges.offset[0] + ranges.size[0]), 29):
        flip(path, position)
        with pytest.raises(ShardCorruptError, match="row 0"):
            ClipReader(tmp_path).read("episode 0", 0, 1)
        flip(path, position)
    ClipReader(tmp_path).read("episode 0", 0, 1)


def test_flipped_steps_are_noticed(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode(0, 400)])
    path = tmp_path / "steps-00000.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(4)
    flip(path, column.data_page_offset + column.total_compressed_size - 100)
    with pytest.raises(ShardCorruptError, match=r"steps-00000\.parquet, row group 0") as caught:
        ClipReader(tmp_path).steps("episode 0")
    assert NEXT_STEP in str(caught.value)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, empty, Path.unlink])
@pytest.mark.parametrize("name", ["episodes.parquet", "frames-00000.parquet", "steps-00000.parquet"])
def test_a_cut_empty_or_missing_file_is_named(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    make_dataset(tmp_path, make_episodes(3))
    damage(tmp_path / name)
    with pytest.raises(ShardCorruptError, match=name) as caught:
        read_everything(tmp_path)
    assert NEXT_STEP in str(caught.value)


@pytest.mark.parametrize("damage", [cut, empty, Path.unlink, lambda path: flip(path, 2000)])
def test_a_damaged_npz_file_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    make_dataset(tmp_path, make_episodes(3), format="npz")
    damage(tmp_path / "episode-00001.npz")
    with pytest.raises(ShardCorruptError, match=r"episode-00001\.npz") as caught:
        read_everything(tmp_path)
    assert NEXT_STEP in str(caught.value)


def test_files_of_another_dataset_are_noticed(tmp_path: Path) -> None:
    make_dataset(tmp_path / "one", [make_episode(0), make_episode(1)])
    make_dataset(tmp_path / "two", [make_episode(0), make_episode(2)])
    make_dataset(tmp_path / "three", [make_episode(0)])
    for name in ("frames-00000.parquet", "steps-00000.parquet"):
        for other in ("two", "three"):
            mixed = shutil.copytree(tmp_path / "one", tmp_path / f"{other} {name}")
            shutil.copy(tmp_path / other / name, mixed)
            with pytest.raises(ShardCorruptError, match=name):
                ClipReader(mixed).read("episode 0", 0, 1)
    (tmp_path / "three" / "episodes.parquet").write_bytes(
        (tmp_path / "one" / "episodes.parquet").read_bytes()
    )
    with pytest.raises(ShardCorruptError, match="row groups"):
        ClipReader(tmp_path / "three").read("episode 0", 0, 1)


def test_surplus_chunks_and_steps_are_noticed(tmp_path: Path) -> None:
    make_dataset(tmp_path / "one", [make_episode(0)])
    make_dataset(tmp_path / "two", [make_episode(0), make_episode(1)])
    for name, found in [
        ("frames-00000.parquet", "4 chunks instead of 2"),
        ("steps-00000.parquet", "2 row groups"),
    ]:
        mixed = shutil.copytree(tmp_path / "one", tmp_path / name)
        shutil.copy(tmp_path / "two" / name, mixed)
        with pytest.raises(ShardCorruptError, match=found):
            ClipReader(mixed).steps("episode 0")


def test_npz_files_in_each_others_place_are_noticed(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode(0), make_episode(1)], format="npz")
    (tmp_path / "episode-00001.npz").replace(tmp_path / "episode-00000.npz")
    reader = ClipReader(tmp_path)
    with pytest.raises(ShardCorruptError, match="found 20 frames of episode 'episode 1'"):
        reader.steps("episode 0")
    with pytest.raises(ShardCorruptError, match="found 20 frames of episode 'episode 1'"):
        reader.read_episode("episode 0")


def test_an_npz_file_with_other_dtypes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "episode.npz"
    write_episode(path, make_episode())
    with np.load(path) as arrays:
        changed = {**arrays, "reward": np.zeros(20)}
    np.savez_compressed(path, **changed)
    with pytest.raises(ShardCorruptError, match=r"reward is float64.*Next: delete the file"):
        read_episode(path)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode()])
    path = tmp_path / "steps-00000.parquet"
    pq.write_table(pq.read_table(path).drop(["reward"]), path)
    with pytest.raises(ShardCorruptError, match=r"columns .* instead of"):
        ClipReader(tmp_path).steps("episode 0")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"compression": "zstd", "use_dictionary": False}, "not 1 plain one"),
        ({"compression": "none", "use_dictionary": True}, "not 1 plain one"),
        ({"compression": "none", "use_dictionary": False}, "without a checksum"),
    ],
)
def test_frames_in_another_layout_are_refused(tmp_path: Path, options: dict[str, Any], found: str) -> None:
    path = tmp_path / "frames.parquet"
    pq.write_table(pa.table({"pixels": [b"a" * 100]}), path, **options)
    with pytest.raises(ValueError, match=found):
        value_ranges(path, "pixels")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"\x15" + b"\xff" * 23, "cut off"),
        (b"\x15\x02" * 4, "a value of 1 bytes"),
        (b"\x16\x02", "not Parquet's"),
    ],
)
def test_a_damaged_page_header_is_named(tmp_path: Path, header: bytes, found: str) -> None:
    make_dataset(tmp_path, [make_episode()])
    path = tmp_path / "frames-00000.parquet"
    offset = pq.ParquetFile(path).metadata.row_group(1).column(5).data_page_offset
    data = bytearray(path.read_bytes())
    data[offset : offset + len(header)] = header
    path.write_bytes(data)
    with pytest.raises(ShardCorruptError, match=found) as caught:
        ClipReader(tmp_path).read("episode 0", 0, 8)
    assert "frames-00000.parquet" in str(caught.value)


def test_several_chunks_in_a_row_group_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames.parquet"
    table = pa.table({"pixels": [b"a" * 100] * 2})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    with pytest.raises(ValueError, match="row group 0: 2 UNCOMPRESSED values"):
        value_ranges(path, "pixels")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path, [make_episode()])
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 7}))
    with pytest.raises(SchemaVersionError, match="found schema_version 7"):
        ClipReader(tmp_path).episodes()


@pytest.mark.parametrize("format", ["parquet", "npz"])
def test_verify_finds_what_differs_and_nothing_else(tmp_path: Path, format: DatasetFormat) -> None:
    episodes = make_episodes(5)
    make_dataset(tmp_path / "good", episodes, format=format)
    assert [error for _, error in verify_dataset(tmp_path / "good")] == [None] * 5
    episodes[2] = dataclasses.replace(episodes[2], reward=-episodes[2].reward)
    make_dataset(tmp_path / "other", episodes, format=format)
    shutil.copy(tmp_path / "good" / "episodes.parquet", tmp_path / "other")
    errors = [str(error) for _, error in verify_dataset(tmp_path / "other") if error]
    assert len(errors) == 1
    assert "episode 'episode 2' in shard" in errors[0]
    assert NEXT_STEP in errors[0]


def test_verify_goes_on_after_a_corrupt_chunk(tmp_path: Path) -> None:
    info = dataclasses.replace(INFO, stage="slice_videos", game="pokemon")
    write_dataset(tmp_path, info, make_episodes(3))
    path = tmp_path / "frames-00000.parquet"
    flip(path, int(value_ranges(path, "pixels").offset[0]) + 50)
    results = {row.episode_id: error for row, error in verify_dataset(tmp_path)}
    assert [name for name, error in results.items() if error] == ["episode 0"]
    assert str(results["episode 0"]).endswith(f"Next: make {tmp_path} again, as it was made")


def test_damage_in_a_store_names_the_artifact_to_verify(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts" / "capture" / "0123456789"
    make_dataset(folder, make_episodes(3))
    (folder / "frames-00000.parquet").unlink()
    (folder / "dataset.json").write_text((folder / "dataset.json").read_text())
    with pytest.raises(ShardCorruptError, match=r"Next: run `worldgen artifacts verify capture/0123456789`"):
        read_everything(folder)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(ShardCorruptError, match=r"Next: run `worldgen artifacts verify capture/0123456789`"):
        read_everything(folder)
