"""When a training has gone wrong: a loss that is no number, that jumps, or that creeps up.

A jump shows in one step, before the weights take it in. A creep shows only over many logged rows: the median
of the latest ones lies far above the best that the present phase of the curriculum has had. Phases are judged
apart, since longer dreams have higher losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from worldgen_core.errors import DivergenceError
from worldgen_core.training.loop_settings import LoopSettings

Row = dict[str, float | int]

_MIN_ROWS = 5
"""Logged rows from which on a loss can be called unusual."""
_WINDOW = 10
"""Logged rows over which a creeping loss is judged."""


def check_step(train_step: int, values: Row, usual: float, settings: LoopSettings, resume: Path) -> None:
    """Raise DivergenceError if a step's figures are no numbers, or its loss far above the `usual` one."""
    # A step in float16 that is to be left out has no norm.
    for name in [name for name in ("loss", "gradient_norm") if name in values]:
        if not math.isfinite(values[name]):
            raise DivergenceError(
                f"training step {train_step}: {name}",
                expected="a finite number",
                found=str(values[name]),
                next_step=f"lower the learning rate; the last good checkpoint is in {resume}",
            )
    limit = usual * settings.diverged_at
    if settings.diverged_at and usual > 0 and values["loss"] > limit:
        raise DivergenceError(
            f"training step {train_step}: loss",
            expected=f"less than {limit:.4g}, {settings.diverged_at:g} times its usual {usual:.4g}",
            found=f"{values['loss']:.4g}",
            next_step="lower the learning rate, or raise loop.diverged_at; "
            f"the last checkpoint is in {resume}",
        )


def usual_loss(rows: Sequence[Row]) -> float:
    """Median of the logged losses; 0 before there are enough to tell."""
    return median(float(row["loss"]) for row in rows) if len(rows) >= _MIN_ROWS else 0.0


class Trend:
    """Follows the logged losses of one phase after the other; its state is a function of the rows."""

    def __init__(self, phase_at: Callable[[int], int], log_every: int) -> None:
        """`phase_at` gives the number of a training step's phase."""
        self._phase_at, self._log_every = phase_at, log_every
        self._phase: int | None = None
        self._losses: list[float] = []
        self._best: list[float] = []

    def add(self, row: Row) -> None:
        """Take a logged row; one that spans two phases counts for neither."""
        last = int(row["train_step"]) - 1
        phase = self._phase_at(last)
        if phase != self._phase:
            self._phase, self._losses, self._best = phase, [], []
        if self._phase_at(max(0, last - self._log_every + 1)) != phase:
            return
        self._losses.append(float(row["loss"]))
        earlier = self._losses[-2 * _WINDOW : -_WINDOW]
        if len(earlier) == _WINDOW and (not self._best or median(earlier) <= median(self._best)):
            self._best = earlier

    @property
    def is_good(self) -> bool:
        """Whether the latest losses are no worse than the best ones, their noise allowed for."""
        return not self._best or median(self._losses[-_WINDOW:]) <= max(self._best)

    def check(self, train_step: int, factor: float, kept: str) -> None:
        """Raise DivergenceError if the loss has crept up to `factor` times its best; 0 never raises.

        `kept` says where the last good checkpoint is. Every one of the latest losses must be worse than every
        one of the best window: where noise is that large, nothing can be told. A loss below zero has no
        factor; there it must have risen by what it had gained in the phase.
        """
        if not factor or not self._best:
            return
        best, recent = median(self._best), self._losses[-_WINDOW:]
        gained = median(self._losses[:_WINDOW]) - best
        limit = best * factor if best > 0 else best + (factor - 1) * max(abs(best), gained)
        if median(recent) <= limit or min(recent) <= max(self._best):
            return
        raise DivergenceError(
            f"training step {train_step}: loss creeps up",
            expected=f"a median of at most {limit:.4g}, since it was {best:.4g} before in this phase",
            found=f"{median(recent):.4g} over the last {len(recent)} logged rows",
            next_step=f"lower the learning rate, or raise loop.crept_at if this is meant to be; {kept}",
        )
