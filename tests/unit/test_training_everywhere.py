"""What the shared loop promises, for every model: exact resume, and batches in parts.

Of `layered` these are in test_layered_model.py, test_layered_moves.py and test_layered_windows.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trainings import MODELS, Interrupted, Trainings, interrupt_after


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    return Trainings(tmp_path_factory.mktemp("trainings"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.name}/{name}": value
        for path in sorted((folder / "out").glob("*.safetensors"))
        for name, value in load_file(path).items()
    }


def assert_same_but_for_rounding(a: Path, b: Path) -> None:
    assert len(rows(a)) > 1
    for first, second in zip(rows(a), rows(b), strict=True):
        assert first == pytest.approx(second, rel=1e-3, abs=1e-6)
    other = weights(b)
    for name, value in weights(a).items():
        torch.testing.assert_close(value, other[name], rtol=1e-2, atol=1e-4, msg=name)


@pytest.mark.parametrize("model", MODELS)
def test_two_interruptions_leave_the_same_bytes_as_none(
    trainings: Trainings, model: str, tmp_path: Path
) -> None:
    trainings.run(model, tmp_path / "whole")
    for _ in range(2):  # after steps 3 and 5, each a step after a checkpoint
        with pytest.raises(Interrupted):
            trainings.run(model, tmp_path / "parts", progress=interrupt_after(3))
    assert not (tmp_path / "parts" / "out" / "metrics.jsonl").exists()
    trainings.run(model, tmp_path / "parts")
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("model", MODELS)
def test_a_batch_in_two_parts_teaches_what_it_teaches_at_once(
    trainings: Trainings, model: str, tmp_path: Path
) -> None:
    trainings.run(model, tmp_path / "once")
    trainings.run(model, tmp_path / "parts", accumulate=2)
    assert_same_but_for_rounding(tmp_path / "parts", tmp_path / "once")
