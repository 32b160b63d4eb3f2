"""Latent shards: what is written is what is read, all or nothing, and damage has a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.errors import SchemaVersionError, ShardCorruptError, StorageError
from storage.latents import LatentInfo, LatentReader, LatentWriter, verify_latents

INFO = LatentInfo("flappy", channels=4, height=3, width=2)
NEXT_STEP = "again, as it was made"


def make_latents(count: int, num_frames: int = 20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        f"episode {i}": rng.standard_normal((num_frames + i, 4, 3, 2)).astype(np.float32)
        for i in range(count)
    }


def write(
    folder: Path, latents: dict[str, np.ndarray], info: LatentInfo = INFO, max_bytes: int = 6000
) -> None:
    with LatentWriter(folder, info, max_shard_bytes=max_bytes) as writer:
        for name, values in latents.items():
            writer.write(name, values)


def test_clips_are_slices_of_what_was_written(tmp_path: Path) -> None:
    latents = make_latents(7)
    write(tmp_path, latents)
    assert len(list(tmp_path.glob("latents-*.npy"))) > 2
    reader = LatentReader(tmp_path)
    assert reader.info == INFO
    assert {name: entry.num_frames for name, entry in reader.episodes.items()} == {
        name: len(values) for name, values in latents.items()
    }
    for name, values in latents.items():
        for start, length in [(0, 1), (5, 8), (0, len(values)), (len(values) - 1, 1)]:
            clip = reader.read(name, start, length)
            np.testing.assert_array_equal(clip, values[start : start + length])
            assert clip.dtype == np.float32
            assert clip.flags.writeable


def test_a_shard_is_a_plain_npy_file_of_whole_episodes(tmp_path: Path) -> None:
    latents = make_latents(3)
    write(tmp_path, latents, max_bytes=2**20)
    whole = np.load(tmp_path / "latents-00000.npy")
    np.testing.assert_array_equal(whole, np.concatenate(list(latents.values())))


def test_half_precision_comes_back_as_float32(tmp_path: Path) -> None:
    latents = make_latents(1)
    write(tmp_path, latents, LatentInfo("flappy", 4, 3, 2, dtype="float16"))
    assert np.load(tmp_path / "latents-00000.npy").dtype == np.float16
    clip = LatentReader(tmp_path).read("episode 0", 0, 8)
    assert clip.dtype == np.float32
    np.testing.assert_array_equal(clip, latents["episode 0"][:8].astype(np.float16))


def test_the_same_latents_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, make_latents(5))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    class Interrupted(dict[str, np.ndarray]):
        def items(self) -> Any:
            yield from super().items()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, Interrupted(make_latents(4)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.zeros((5, 4, 2, 3), np.float32), r"shape \(5, 4, 2, 3\)"),
        (np.zeros((0, 4, 3, 2), np.float32), "shape"),
        (np.full((5, 4, 3, 2), np.nan, np.float32), "not finite"),
    ],
)
def test_latents_that_do_not_fit_are_refused(tmp_path: Path, values: np.ndarray, found: str) -> None:
    with pytest.raises(StorageError, match=f"'b'.*{found}"):
        write(tmp_path, {"a": np.zeros((5, 4, 3, 2), np.float32), "b": values})
    assert list(tmp_path.iterdir()) == []


def test_an_id_may_come_only_once(tmp_path: Path) -> None:
    values = np.zeros((5, 4, 3, 2), np.float32)
    with LatentWriter(tmp_path, INFO) as writer:
        writer.write("a", values)
        with pytest.raises(StorageError, match="the same id twice"):
            writer.write("a", values)
    assert list(LatentReader(tmp_path).episodes) == ["a"]


def test_values_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    info = LatentInfo("flappy", 4, 3, 2, dtype="float16")
    with pytest.raises(StorageError, match="not finite as float16"):
        write(tmp_path, {"a": np.full((5, 4, 3, 2), 1e6, np.float32)}, info)


def test_latents_are_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path, make_latents(1))
    with pytest.raises(StorageError, match=r"found latents\.json and 1 more"):
        write(tmp_path, make_latents(1))
    assert LatentReader(tmp_path).read("episode 0", 0, 1).shape == (1, 4, 3, 2)


@pytest.mark.parametrize(
    ("name", "start", "length"), [("nobody", 0, 1), ("episode 0", -1, 2), ("episode 0", 0, 21)]
)
def test_what_is_not_there_is_refused(tmp_path: Path, name: str, start: int, length: int) -> None:
    write(tmp_path, make_latents(1))
    with pytest.raises(StorageError, match=name):
        LatentReader(tmp_path).read(name, start, length)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_a_cut_or_missing_shard_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write(tmp_path, make_latents(7))
    last = max(tmp_path.glob("latents-*.npy"))
    damage(last)
    with pytest.raises(ShardCorruptError, match=last.name) as caught:
        LatentReader(tmp_path).read("episode 6", 0, 8)
    assert NEXT_STEP in str(caught.value)
    assert {str(error) for error in verify_latents(tmp_path)} == {str(caught.value)}


def test_verify_finds_one_flipped_bit(tmp_path: Path) -> None:
    write(tmp_path, make_latents(7))
    assert list(verify_latents(tmp_path)) == []
    path = tmp_path / "latents-00000.npy"
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    (error,) = verify_latents(tmp_path)
    assert "latents-00000.npy" in str(error)
    assert "other bytes than were written" in str(error)


def test_a_missing_or_damaged_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"expected a folder with a latents\.json"):
        _ = LatentReader(tmp_path).info
    (tmp_path / "latents.json").write_text('{"schema_version": 1}')
    with pytest.raises(ShardCorruptError, match=r"latents\.json"):
        _ = LatentReader(tmp_path).info
    (tmp_path / "latents.json").write_text(json.dumps({"schema_version": 9, "episodes": {}}))
    with pytest.raises(SchemaVersionError, match="found schema_version 9"):
        _ = LatentReader(tmp_path).info
