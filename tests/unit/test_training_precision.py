"""float16: scaled, left out where it overflows, resumed exactly, and refused where it cannot train."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from worldgen_core.errors import ConfigError, DivergenceError
from worldgen_core.progress import ProgressEvent, silent
from worldgen_core.training import loop as loop_module
from worldgen_core.training.loop import TrainingRun, run_training
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.precision import LossScaler, Precision

SETTINGS = LoopSettings(warmup_steps=1, checkpoint_every=2, log_every=3, num_threads=1)


class _Fit:
    """A small regression."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Linear(3, 1)
        self.matrices: list[nn.Parameter] = []

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = torch.randn(8, 3, generator=generator)
        return {"loss": 16 * (self.module(x)[:, 0] - x.sum(1)).square().mean()}


class _Scaled(Precision):
    """Scales on the CPU as on CUDA; products stay float32, so it takes a larger scale to overflow."""

    initial_scale = 2.0**127

    def __init__(self, _name: str, device: torch.device) -> None:
        super().__init__("float32", device)
        self.scaler = LossScaler("cpu", initial_scale=self.initial_scale)


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "Precision", _Scaled)


def run(resume: Path, *, stop: int = 0, num_steps: int = 24) -> TrainingRun:
    def progress(event: ProgressEvent) -> None:
        if event.done == stop:
            raise InterruptedError

    return run_training(
        _Fit(),
        SETTINGS,
        seed=0,
        num_steps=num_steps,
        num_frames_at=lambda _: 1,
        resume=resume,
        progress=progress if stop else silent,
    )


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_float16_is_for_cuda_only(device: str) -> None:
    with pytest.raises(ConfigError, match=f"bf16 or float32 on the device {device}; found float16"):
        Precision("float16", torch.device(device))


def test_asking_for_it_here_fails_before_the_first_step(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"precision": "float16"})
    with pytest.raises(ConfigError, match="bf16 or float32 on the device cpu"):
        run_training(
            _Fit(),
            settings,
            seed=0,
            num_steps=1,
            num_frames_at=lambda _: 1,
            resume=tmp_path,
            progress=silent,
        )


@pytest.mark.usefixtures("scaled")
def test_steps_that_overflow_are_left_out_and_the_scale_falls(tmp_path: Path) -> None:
    run_ = run(tmp_path)
    scales = [row["loss_scale"] for row in run_.rows]
    assert scales[0] > scales[-1] > 1
    assert all(torch.tensor(list(row.values())).isfinite().all() for row in run_.rows)
    assert run_.rows[-1]["loss"] < run_.rows[0]["loss"]
    assert "gradient_norm" in run_.rows[-1]


@pytest.mark.usefixtures("scaled")
def test_resuming_goes_on_with_the_same_scale(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    for stop in (3, 5):
        with pytest.raises(InterruptedError):
            run(tmp_path / "parts", stop=stop)
    parts = run(tmp_path / "parts")
    assert parts.rows == whole.rows
    assert all(torch.equal(value, parts.weights[name]) for name, value in whole.weights.items())


@pytest.mark.usefixtures("scaled")
def test_overflow_at_any_scale_is_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(self: _Fit, _step: int, _generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": sum((weight * 0).sum().sqrt() for weight in self.module.parameters())}  # pyright: ignore

    monkeypatch.setattr(_Fit, "loss", loss)
    monkeypatch.setattr(_Scaled, "initial_scale", 8.0)
    with pytest.raises(DivergenceError, match="gradient in float16"):
        run(tmp_path)
