"""Divergence that no single step shows: a loss that creeps up over hundreds of steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from worldgen_core.errors import DivergenceError
from worldgen_core.progress import silent
from worldgen_core.training.divergence import Trend
from worldgen_core.training.loop import TrainingRun, run_training
from worldgen_core.training.loop_settings import LoopSettings

SETTINGS = LoopSettings(warmup_steps=1, checkpoint_every=10, log_every=2, num_threads=1)
Curve = Callable[[int], float]


class _Prescribed:
    """An objective whose loss is a given function of the training step, with some noise."""

    def __init__(self, curve: Curve, noise: float = 0.05) -> None:
        self.module: nn.Module = nn.Linear(2, 1)
        self.matrices: list[nn.Parameter] = []
        self._curve, self._noise = curve, noise

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        value = self._curve(train_step) + self._noise * float(torch.randn((), generator=generator))
        weights = torch.cat([weight.flatten() for weight in self.module.parameters()])
        return {"loss": value + 0.0 * weights.sum()}


def run(
    resume: Path,
    curve: Curve,
    num_steps: int = 200,
    phase_at: Curve | None = None,
    noise: float = 0.05,
    settings: LoopSettings = SETTINGS,
) -> TrainingRun:
    return run_training(
        _Prescribed(curve, noise),
        settings,
        seed=0,
        num_steps=num_steps,
        num_frames_at=lambda _: 1,
        resume=resume,
        progress=silent,
        phase_at=lambda step: 0 if phase_at is None else int(phase_at(step)),
    )


def creeping(train_step: int) -> float:
    """Falls to 1 until step 80, then grows by a hundredth of itself a step."""
    return max(1.0, 4.0 - train_step / 20) * math.exp(max(0, train_step - 80) / 100)


def steps_in(folder: Path) -> list[int]:
    return sorted(int(path.stem.partition("-")[2]) for path in folder.glob("checkpoint-*"))


def test_a_loss_that_creeps_up_stops_and_a_checkpoint_from_before_is_kept(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="loss creeps up") as stopped:
        run(tmp_path, creeping)
    stopped_at = int(stopped.value.what.split()[2].rstrip(":"))
    assert 140 < stopped_at < 190
    good, *newest = steps_in(tmp_path)
    assert 70 <= good <= 110
    assert newest == [stopped_at // 10 * 10 - 10, stopped_at // 10 * 10]
    assert f"checkpoint-{good:08d}" in stopped.value.next_step


def test_resuming_judges_by_all_the_rows_and_still_keeps_the_good_one(tmp_path: Path) -> None:
    calm = SETTINGS.model_copy(update={"crept_at": 0.0})
    run(tmp_path, creeping, num_steps=150, settings=calm)
    good = steps_in(tmp_path)[0]
    with pytest.raises(DivergenceError, match="loss creeps up") as stopped:
        run(tmp_path, creeping)
    assert int(stopped.value.what.split()[2].rstrip(":")) < 165
    assert steps_in(tmp_path)[0] == good
    assert len(run(tmp_path, creeping, settings=calm).rows) == 100


def test_a_new_phase_may_have_any_loss(tmp_path: Path) -> None:
    def two_phases(train_step: int) -> float:
        return 1.0 if train_step < 101 else 9.0

    run(tmp_path / "phases", two_phases, phase_at=lambda step: step >= 101)
    with pytest.raises(DivergenceError, match="loss creeps up"):
        run(tmp_path / "one", two_phases)


def test_noise_is_no_creep_and_neither_is_a_slow_plateau(tmp_path: Path) -> None:
    run(tmp_path / "noise", lambda _step: 0.2, noise=0.3)
    run(tmp_path / "plateau", lambda step: 1.0 + 0.25 * math.sin(step / 30))


def test_a_loss_below_zero_diverges_when_it_has_lost_what_it_gained(tmp_path: Path) -> None:
    def curve(train_step: int) -> float:
        return abs(train_step - 80) / 20 - 3

    with pytest.raises(DivergenceError, match="loss creeps up"):
        run(tmp_path, curve, num_steps=300)
    run(tmp_path / "half", lambda step: min(curve(step), -1.5), num_steps=300)


def test_the_trend_is_a_function_of_the_rows() -> None:
    def rows(num: int) -> list[dict[str, float | int]]:
        return [{"train_step": 2 * i + 2, "loss": creeping(2 * i)} for i in range(num)]

    whole, parts = Trend(lambda _: 0, 2), Trend(lambda _: 0, 2)
    for row in rows(60):
        whole.add(row)
    for row in rows(60):
        parts.add(row)
    assert whole.is_good == parts.is_good
    assert not whole.is_good
