"""The training loop that every model shares: steps, schedule, clipping, averaging, checkpoints, progress.

It counts steps and never seconds. A model brings an `Objective`, which draws its own batches as a pure
function of the training step; randomness inside a step comes from a generator seeded with the step. So a
run that is interrupted and resumed ends with the same bits as one that is not, on one device and number of
threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from worldgen_core.device import choose_precision
from worldgen_core.errors import DivergenceError
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads
from worldgen_core.training.checkpoints import Checkpoint, architecture_of, load_latest, save_checkpoint
from worldgen_core.training.ema import WeightAverage
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.optimizers import MuonAdamW

Row = dict[str, float | int]

_MIN_ROWS = 5
"""Logged rows from which on a loss can be called unusual."""


@runtime_checkable
class Objective(Protocol):
    """What a model brings to the loop."""

    module: nn.Module
    """The weights to train, on their device; the average is kept of its parameters."""
    matrices: list[nn.Parameter]
    """Weights that Muon takes if it is on; empty if the model names none."""

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars of one batch, "loss" among them; the batch is a pure function of `train_step`."""
        ...


@dataclass(frozen=True)
class TrainingRun:
    """What a finished run leaves: averaged weights (on the CPU), rows for metrics.jsonl, steps a second."""

    weights: dict[str, Tensor]
    rows: list[Row]
    steps_per_s: float


@dataclass
class _Log:
    """Means over `every` steps; its whole state is JSON, so checkpoints hold it."""

    every: int
    rows: list[Row] = field(default_factory=list[Row])
    pending: list[Row] = field(default_factory=list[Row])

    def add(self, train_step: int, values: Row) -> Row:
        """Take one step's figures and return the latest means."""
        self.pending.append(values)
        means = {name: sum(row[name] for row in self.pending) / len(self.pending) for name in values}
        if (train_step + 1) % self.every == 0:
            self.rows.append({"train_step": train_step + 1, **means})
            self.pending.clear()
        return means

    def usual_loss(self) -> float:
        """Median of the logged losses; 0 before there are enough to tell."""
        return median(float(row["loss"]) for row in self.rows) if len(self.rows) >= _MIN_ROWS else 0.0


def rate_scale(train_step: int, num_steps: int, settings: LoopSettings) -> float:
    """The schedule's factor on the rates: linear warm-up times a cosine that ends at the final share."""
    warmup = min(1.0, (train_step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * train_step / max(1, num_steps)))
    return warmup * (settings.final_rate_share + (1 - settings.final_rate_share) * cosine)


def run_training(
    objective: Objective,
    settings: LoopSettings,
    *,
    seed: int,
    num_steps: int,
    num_frames_at: Callable[[int], int],
    resume: Path,
    progress: Progress,
    label: str = "frames",
) -> TrainingRun:
    """Train for `num_steps` steps, going on from the newest whole checkpoint in `resume`.

    `num_frames_at` says how many frames a step learns from; progress counts them, as `label`, because steps
    late in a curriculum take longer.
    Determinism: same settings, seed and device give the same bits, however often the run was interrupted.
    Raises: DivergenceError if loss or gradient is not finite, or the loss far above what it was (the last
    good checkpoint stays); CheckpointError if `resume` belongs to another architecture.
    """
    frames = list(accumulate((num_frames_at(step) for step in range(num_steps)), initial=0))
    with cpu_threads(settings.num_threads):
        return _Loop(objective, settings, seed, num_steps, resume).run(progress, frames, label)


class _Loop:
    def __init__(
        self, objective: Objective, settings: LoopSettings, seed: int, num_steps: int, resume: Path
    ) -> None:
        self.objective, self.settings, self.seed = objective, settings, seed
        self.num_steps, self.resume = num_steps, resume
        self.module = objective.module
        self.optimizer = MuonAdamW(self.module, settings.optimizer, objective.matrices)
        self.average = WeightAverage(self.module, settings.ema_decay)
        self.log = _Log(settings.log_every)

    def run(self, progress: Progress, frames: list[int], label: str) -> TrainingRun:
        first = self.restore()
        started, steps_per_s = time.perf_counter(), 0.0
        for train_step in range(first, self.num_steps):
            means = self.log.add(train_step, self.step(train_step))
            done = train_step + 1
            if done % self.settings.checkpoint_every == 0 or done == self.num_steps:
                save_checkpoint(self.resume, Checkpoint(done, self.state(), self.extra()))
            seconds = time.perf_counter() - started
            steps_per_s, rate = (done - first) / seconds, (frames[done] - frames[first]) / seconds
            progress(ProgressEvent(label, frames[done], frames[-1], rate, {"loss": means["loss"]}))
        weights = {name: value.cpu() for name, value in self.average.state_dict(self.module).items()}
        return TrainingRun(weights, self.log.rows, steps_per_s)

    def step(self, train_step: int) -> Row:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "train_step", train_step))
        device = next(self.module.parameters()).device
        precision = choose_precision(self.settings.precision, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            losses = self.objective.loss(train_step, generator)
        self.optimizer.zero_grad()
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.optimizer.parameters, self.settings.clip_norm)
        values = {name: float(value.detach()) for name, value in losses.items()}
        values["gradient_norm"] = float(norm)
        self.check(train_step, values)
        self.optimizer.step(train_step, rate_scale(train_step, self.num_steps, self.settings))
        self.average.update(self.module, train_step)
        return values

    def check(self, train_step: int, values: Row) -> None:
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(values[name]):
                raise DivergenceError(
                    f"training step {train_step}: {name}",
                    expected="a finite number",
                    found=str(values[name]),
                    next_step=f"lower the learning rate; the last good checkpoint is in {self.resume}",
                )
        usual = self.log.usual_loss()
        limit = usual * self.settings.diverged_at
        if self.settings.diverged_at and usual > 0 and values["loss"] > limit:
            raise DivergenceError(
                f"training step {train_step}: loss",
                expected=f"less than {limit:.4g}, {self.settings.diverged_at:g} times its usual {usual:.4g}",
                found=f"{values['loss']:.4g}",
                next_step="lower the learning rate, or raise loop.diverged_at; "
                f"the last checkpoint is in {self.resume}",
            )

    def state(self) -> dict[str, Tensor]:
        return {
            **{f"weights/{name}": value for name, value in self.module.state_dict().items()},
            **{f"optimizer/{name}": value for name, value in self.optimizer.state_dict().items()},
            **{f"average/{name}": value for name, value in self.average.shadow.items()},
        }

    def extra(self) -> dict[str, Any]:
        return {"rows": self.log.rows, "pending": self.log.pending}

    def restore(self) -> int:
        checkpoint = load_latest(self.resume, architecture=architecture_of(self.state()))
        if checkpoint is None:
            return 0
        with torch.no_grad():
            for name, value in self.state().items():
                value.copy_(checkpoint.tensors[name])
        self.log.rows, self.log.pending = checkpoint.extra["rows"], checkpoint.extra["pending"]
        return checkpoint.train_step
