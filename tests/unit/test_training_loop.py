"""The loop: bit-equal resume, divergence, schedule, progress."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from worldgen_core.errors import CheckpointError, DivergenceError
from worldgen_core.progress import EventList, ProgressEvent, silent
from worldgen_core.training.checkpoints import load_latest
from worldgen_core.training.loop import TrainingRun, rate_scale, run_training
from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings

SETTINGS = LoopSettings(
    optimizer=OptimizerSettings(rate=1e-2),
    warmup_steps=3,
    checkpoint_every=4,
    log_every=3,
    num_threads=1,
    ema_decay=0.9,
)


class _Fit:
    """Fits a small network to noise that depends on step and generator."""

    def __init__(
        self, *, width: int = 4, break_at: int | None = None, break_by: float = float("nan")
    ) -> None:
        torch.manual_seed(7)
        first = nn.Linear(3, width)
        self.module: nn.Module = nn.Sequential(first, nn.Tanh(), nn.Linear(width, 1))
        self.matrices: list[nn.Parameter] = [p for p in first.parameters() if p.ndim == 2]
        self.break_at, self.break_by = break_at, break_by

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        x = torch.randn(8, 3, generator=generator)
        loss = (self.module(x)[:, 0] - x.sum(1).sin()).square().mean()
        if train_step == self.break_at:
            loss = loss * self.break_by
        return {"loss": loss, "step": torch.tensor(float(train_step))}


class _Interrupted(Exception):
    pass


def _stop_after(train_step: int):
    def progress(event: ProgressEvent) -> None:
        if event.done == train_step:
            raise _Interrupted

    return progress


def _run(
    resume: Path,
    objective: _Fit | None = None,
    progress=silent,
    num_steps: int = 20,
    settings: LoopSettings = SETTINGS,
) -> TrainingRun:
    return run_training(
        objective or _Fit(),
        settings,
        seed=1,
        num_steps=num_steps,
        num_frames_at=lambda _train_step: 1,
        resume=resume,
        progress=progress,
    )


def _assert_equal(a: TrainingRun, b: TrainingRun) -> None:
    assert a.rows == b.rows
    assert a.weights.keys() == b.weights.keys()
    for name, value in a.weights.items():
        assert torch.equal(value, b.weights[name]), name


def test_two_interruptions_end_bit_equal_to_an_undisturbed_run(tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole")
    for stop in (6, 13):  # neither at a checkpoint nor at a row of the log
        with pytest.raises(_Interrupted):
            _run(tmp_path / "parts", progress=_stop_after(stop))
    resumed = EventList()
    _assert_equal(_run(tmp_path / "parts", progress=resumed), whole)
    assert resumed.events[0].done == 13


def test_resume_after_the_newest_checkpoint_was_damaged_is_bit_equal_too(tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole")
    with pytest.raises(_Interrupted):
        _run(tmp_path / "parts", progress=_stop_after(10))
    newest = max((tmp_path / "parts").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:100])
    _assert_equal(_run(tmp_path / "parts"), whole)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    whole, events = _run(tmp_path), EventList()
    _assert_equal(_run(tmp_path, progress=events), whole)
    assert events.events == []


def test_another_architecture_in_the_resume_folder_is_an_error(tmp_path: Path) -> None:
    _run(tmp_path, num_steps=4)
    with pytest.raises(CheckpointError, match="other names or shapes"):
        _run(tmp_path, objective=_Fit(width=5))


def test_a_loss_that_explodes_stops_too_unless_that_is_switched_off(tmp_path: Path) -> None:
    exploding = _Fit(break_at=17, break_by=1e6)
    with pytest.raises(DivergenceError, match="times its usual") as stopped:
        _run(tmp_path / "on", exploding)
    assert "training step 17" in stopped.value.what
    assert max((tmp_path / "on").glob("*.safetensors")).name == "checkpoint-00000016.safetensors"
    calm = SETTINGS.model_copy(update={"diverged_at": 0.0})
    run = _run(tmp_path / "off", _Fit(break_at=17, break_by=1e6), settings=calm)
    assert len(run.rows) > 5


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    objective = _Fit(break_at=9)
    with pytest.raises(DivergenceError, match="training step 9: loss"):
        _run(tmp_path, objective=objective)
    newest = max(tmp_path.glob("*.safetensors"))
    assert newest.name == "checkpoint-00000008.safetensors"
    assert all(weight.isfinite().all() for weight in objective.module.parameters())


def test_progress_tells_rate_and_loss_and_the_loss_falls(tmp_path: Path) -> None:
    events = EventList()
    run = _run(tmp_path, progress=events, num_steps=60)
    assert [event.done for event in events.events] == list(range(1, 61))
    last = events.events[-1]
    assert last.total == 60
    assert last.rate_per_s is not None
    assert last.rate_per_s > 0
    assert last.metrics["loss"] == pytest.approx(run.rows[-1]["loss"])
    assert run.rows[-1]["loss"] < 0.7 * run.rows[0]["loss"]
    assert [row["train_step"] for row in run.rows] == list(range(3, 61, 3))
    assert run.rows[0]["step"] == 1.0


def test_bf16_is_a_setting_and_changes_the_result(tmp_path: Path) -> None:
    bf16 = SETTINGS.model_copy(update={"precision": "bf16"})
    run = _run(tmp_path / "bf16", num_steps=3, settings=bf16)
    assert not torch.equal(run.weights["0.weight"], _run(tmp_path / "f32", num_steps=3).weights["0.weight"])


def test_schedule_warms_up_and_ends_at_the_final_share() -> None:
    scale = [rate_scale(train_step, 1000, SETTINGS) for train_step in range(1000)]
    assert scale[0] == pytest.approx(1 / 3, rel=1e-3)
    assert scale[2] == pytest.approx(1.0, rel=1e-3)
    assert scale[-1] == pytest.approx(SETTINGS.final_rate_share, rel=1e-2)
    assert all(a >= b for a, b in pairwise(scale[2:]))


def test_thread_count_is_restored(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    _run(tmp_path, num_steps=2)
    assert torch.get_num_threads() == before
    assert load_latest(tmp_path / "missing", architecture="") is None
