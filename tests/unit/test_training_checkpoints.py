"""Checkpoints: whole or refused, with the reason; the one before takes over; nothing is unpickled."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from worldgen_core.errors import CheckpointError
from worldgen_core.training.checkpoints import (
    Checkpoint,
    architecture_of,
    checkpoint_path,
    load_checkpoint,
    load_latest,
    save_checkpoint,
)


def _checkpoint(train_step: int) -> Checkpoint:
    tensors = {"weights/a": torch.arange(64.0) + train_step, "optimizer/b": torch.ones(3, 2)}
    return Checkpoint(train_step, tensors, {"rows": [{"loss": 0.1 + train_step}]})


ARCHITECTURE = architecture_of(_checkpoint(0).tensors)


def _load(folder: Path) -> Checkpoint:
    found = load_latest(folder, architecture=ARCHITECTURE)
    assert found is not None
    return found


def test_comes_back_bit_equal_and_only_two_are_kept(tmp_path: Path) -> None:
    for train_step in (5, 10, 15):
        save_checkpoint(tmp_path, _checkpoint(train_step))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "checkpoint-00000010.safetensors",
        "checkpoint-00000015.safetensors",
    ]
    found = _load(tmp_path)
    assert (found.train_step, found.extra) == (15, {"rows": [{"loss": 15.1}]})
    assert torch.equal(found.tensors["weights/a"], torch.arange(64.0) + 15)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-17] ^= 4
    path.write_bytes(data)


def _disguise_a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_truncate, _flip_a_bit, _disguise_a_pickle, _empty])
def test_damaged_newest_is_skipped_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage
) -> None:
    save_checkpoint(tmp_path, _checkpoint(5))
    newest = save_checkpoint(tmp_path, _checkpoint(10))
    damage(newest)
    with pytest.raises(CheckpointError, match=newest.name):
        load_checkpoint(newest, architecture=ARCHITECTURE)
    with caplog.at_level(logging.WARNING):
        assert _load(tmp_path).train_step == 5
    assert [record.message for record in caplog.records] == ["checkpoint skipped"]


def test_a_foreign_file_of_bfloat16_is_refused(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 5)
    save_file({"a": torch.ones(3, dtype=torch.bfloat16), "b": torch.tensor(1.0)}, path)
    with pytest.raises(CheckpointError, match=path.name):
        load_checkpoint(path, architecture=ARCHITECTURE)


def test_an_empty_folder_means_a_fresh_start(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "missing", architecture=ARCHITECTURE) is None
    assert load_latest(tmp_path, architecture=ARCHITECTURE) is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_truncate, "SafetensorError"),
        (_flip_a_bit, "the file is damaged"),
        (_disguise_a_pickle, "SafetensorError"),
        (_empty, "SafetensorError"),
    ],
)
def test_nothing_whole_is_refused_with_every_reason_and_nothing_is_deleted(
    tmp_path: Path, damage, reason: str
) -> None:
    paths = [save_checkpoint(tmp_path, _checkpoint(train_step)) for train_step in (5, 10)]
    for path in paths:
        damage(path)
    with pytest.raises(CheckpointError, match="at least one whole checkpoint") as refused:
        load_latest(tmp_path, architecture=ARCHITECTURE)
    assert refused.value.found.count(reason) == 2
    assert all(path.name in refused.value.found for path in paths)
    assert f"delete {tmp_path} to train from the start" in refused.value.next_step
    assert all(path.exists() for path in paths)


def test_the_one_to_keep_outlives_the_last_two(tmp_path: Path) -> None:
    for train_step in (5, 10, 15, 20):
        save_checkpoint(tmp_path, _checkpoint(train_step), keep=5)
    assert sorted(int(path.stem[-8:]) for path in tmp_path.iterdir()) == [5, 15, 20]


def test_another_architecture_is_refused_and_never_skipped(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(5))
    other = architecture_of({"weights/a": torch.zeros(65)})
    with pytest.raises(CheckpointError, match="other names or shapes"):
        load_latest(tmp_path, architecture=other)


def test_a_half_written_file_is_never_seen(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(5))
    (tmp_path / ".checkpoint-00000010.safetensors.123").write_bytes(b"half")
    assert _load(tmp_path).train_step == 5
