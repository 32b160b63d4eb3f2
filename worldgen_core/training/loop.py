"""The training loop that every model shares: steps, schedule, clipping, averaging, checkpoints, progress.

A step's batch may be split into parts, taken one after the other (`loop.accumulate`) or side by side by
several processes (`loop.num_processes`). It counts steps and never seconds. A model brings an `Objective`,
which draws its own batches as a pure function of the training step; randomness inside a step comes from a
generator seeded with the step. So a run that is interrupted and resumed ends with the same bits as one that
is not, on one device and number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from worldgen_core.errors import ConfigError
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.rows import Part, PartGenerator, part_generator
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads
from worldgen_core.training.checkpoints import (
    Checkpoint,
    architecture_of,
    checkpoint_path,
    load_latest,
    save_checkpoint,
)
from worldgen_core.training.divergence import Trend, check_step, usual_loss
from worldgen_core.training.ema import WeightAverage
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.optimizers import MuonAdamW
from worldgen_core.training.passes import CompilationNews, compiled, recomputed
from worldgen_core.training.precision import Precision
from worldgen_core.training.ranks import add_over_ranks, agree, num_ranks, rank

Row = dict[str, float | int]


@runtime_checkable
class Objective(Protocol):
    """What a model brings to the loop."""

    module: nn.Module
    """The weights to train, on their device; the average is kept of its parameters."""
    matrices: list[nn.Parameter]
    """Weights that Muon takes if it is on; empty if the model names none."""

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars of one batch, "loss" among them; the batch is a pure function of `train_step`.

        The generator says which part of the batch is asked for (`worldgen_core.rows`), and the results of
        all parts add up to those of the whole batch.
        """
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
        """Take one step's figures and return the latest means; a step in float16 may have no norm."""
        self.pending.append(values)
        means = {name: _mean([row[name] for row in self.pending if name in row]) for name in values}
        if (train_step + 1) % self.every == 0:
            self.rows.append({"train_step": train_step + 1, **means})
            self.pending.clear()
        return means


def _mean(values: list[float | int]) -> float:
    return sum(values) / len(values)


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
    phase_at: Callable[[int], int] = lambda _train_step: 0,
) -> TrainingRun:
    """Train for `num_steps` steps, going on from the newest whole checkpoint in `resume`.

    `num_frames_at` says how many frames a step learns from; progress counts them, as `label`, because steps
    late in a curriculum take longer. `phase_at` numbers its phases, whose losses are not to be compared.
    Every process that trains along calls this with the same arguments; the first one writes the checkpoints.
    Determinism: same settings, seed and device give the same bits, however often the run was interrupted.
    Raises: DivergenceError if loss or gradient is not finite, or the loss jumps or creeps far above what it
    was (the last good checkpoint stays); CheckpointError if `resume` belongs to another architecture, or
    holds checkpoints none of which can be read; ConfigError if the device or the model cannot do what the
    settings ask for.
    """
    frames = list(accumulate((num_frames_at(step) for step in range(num_steps)), initial=0))
    with ExitStack() as stack:
        stack.enter_context(cpu_threads(settings.num_threads))
        if settings.checkpoint_activations:
            stack.enter_context(recomputed(objective.module))
        if settings.compile:
            stack.enter_context(compiled(objective.module))
        loop = _Loop(objective, settings, seed, num_steps, resume, phase_at)
        return loop.run(progress, frames, label)


class _Loop:
    def __init__(
        self,
        objective: Objective,
        settings: LoopSettings,
        seed: int,
        num_steps: int,
        resume: Path,
        phase_at: Callable[[int], int],
    ) -> None:
        self.objective, self.settings, self.seed = objective, settings, seed
        self.num_steps, self.resume = num_steps, resume
        self.module = objective.module
        self.precision = Precision(settings.precision, next(self.module.parameters()).device)
        self.optimizer = MuonAdamW(self.module, settings.optimizer, objective.matrices)
        self.average = WeightAverage(self.module, settings.ema_decay)
        self.log, self.trend = _Log(settings.log_every), Trend(phase_at, settings.log_every)
        self.good_step = 0
        count = settings.accumulate * num_ranks()
        self.parts = [Part(index, count) for index in range(rank(), count, num_ranks())]

    def run(self, progress: Progress, frames: list[int], label: str) -> TrainingRun:
        first = self.restore()
        news = CompilationNews(progress) if self.settings.compile and first < self.num_steps else None
        started, steps_per_s = time.perf_counter(), 0.0
        for train_step in range(first, self.num_steps):
            step_started = time.perf_counter()
            means = self.take_down(train_step, self.step(train_step))
            if news is not None:
                news.after_step(time.perf_counter() - step_started)
            done = train_step + 1
            if done % self.settings.checkpoint_every == 0 or done == self.num_steps:
                self.save(done)
            seconds = time.perf_counter() - started
            steps_per_s, rate = (done - first) / seconds, (frames[done] - frames[first]) / seconds
            progress(ProgressEvent(label, frames[done], frames[-1], rate, {"loss": means["loss"]}))
        weights = {name: value.cpu() for name, value in self.average.state_dict(self.module).items()}
        return TrainingRun(weights, self.log.rows, steps_per_s)

    def step(self, train_step: int) -> Row:
        self.optimizer.zero_grad()
        losses = add_over_ranks(self.optimizer.parameters, self.gradients(train_step))
        values: Row = {name: float(value) for name, value in losses.items()}
        scaler, rate = self.precision.scaler, rate_scale(train_step, self.num_steps, self.settings)
        if scaler is not None:
            values["loss_scale"] = scaler.scale
            scaler.unscale(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.optimizer.parameters, self.settings.clip_norm))
        if scaler is None or math.isfinite(norm):
            values["gradient_norm"] = norm
        check_step(train_step, values, usual_loss(self.log.rows), self.settings, self.resume)
        if scaler is None:
            self.optimizer.step(train_step, rate)
        else:
            scaler.step(self.optimizer, train_step, rate)
        self.average.update(self.module, train_step)
        return values

    def gradients(self, train_step: int) -> dict[str, Tensor]:
        """Add up the gradients of this process's parts of the batch, and return their figures' sums."""
        total: dict[str, Tensor] = {}
        for part in self.parts:
            generator = part_generator(derive_seed(self.seed, "train_step", train_step), part)
            with self.precision.autocast():
                losses = self.objective.loss(train_step, generator)
            self.check_parts(generator)
            scaler = self.precision.scaler
            (scaler.scaled(losses["loss"]) if scaler else losses["loss"]).backward()
            for name, value in losses.items():
                total[name] = total[name] + value.detach() if name in total else value.detach()
        return total

    def check_parts(self, generator: PartGenerator) -> None:
        if generator.part.count > 1 and not generator.num_rows:
            raise ConfigError(
                "loop.accumulate, loop.num_processes",
                expected=f"1 for {type(self.objective).__name__}, which learns from whole batches only",
                found=f"{generator.part.count} parts a batch",
                next_step="leave both at 1 for this model",
            )

    def take_down(self, train_step: int, values: Row) -> Row:
        """Log a step's figures, and judge the trend at each row."""
        num_rows = len(self.log.rows)
        means = self.log.add(train_step, values)
        if len(self.log.rows) > num_rows:
            self.trend.add(self.log.rows[-1])
            kept = checkpoint_path(self.resume, self.good_step)
            where = f"the last good checkpoint is {kept}" if kept.exists() else "no checkpoint is older"
            self.trend.check(train_step, self.settings.crept_at, where)
        return means

    def save(self, train_step: int) -> None:
        """Keep the state; the last one that was good before the loss began to creep is never deleted."""
        if self.trend.is_good:
            self.good_step = train_step
        if rank() == 0:
            checkpoint = Checkpoint(train_step, self.state(), self.extra())
            save_checkpoint(self.resume, checkpoint, keep=self.good_step)

    def state(self) -> dict[str, Tensor]:
        return {
            **{f"weights/{name}": value for name, value in self.module.state_dict().items()},
            **{f"optimizer/{name}": value for name, value in self.optimizer.state_dict().items()},
            **{f"average/{name}": value for name, value in self.average.shadow.items()},
        }

    def extra(self) -> dict[str, Any]:
        scaler = self.precision.scaler
        extra = {"rows": self.log.rows, "pending": self.log.pending, "good_step": self.good_step}
        return extra | ({} if scaler is None else {"loss_scaler": scaler.state()})

    def restore(self) -> int:
        checkpoint = load_latest(self.resume, architecture=architecture_of(self.state()))
        train_step = 0 if checkpoint is None else checkpoint.train_step
        if checkpoint is not None:
            self.take_back(checkpoint)
        agree(train_step, self.state())
        return train_step

    @torch.no_grad()
    def take_back(self, checkpoint: Checkpoint) -> None:
        for name, value in self.state().items():
            value.copy_(checkpoint.tensors[name])
        extra = checkpoint.extra
        self.log.rows, self.log.pending, self.good_step = extra["rows"], extra["pending"], extra["good_step"]
        for row in self.log.rows:
            self.trend.add(row)
        if self.precision.scaler is not None:
            self.precision.scaler.restore(extra["loss_scaler"])
