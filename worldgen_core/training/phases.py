"""The curriculum of a training that dreams: how long the windows are at which training step."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field


class UnrollPhase(BaseModel):
    """A stretch of the curriculum in which every window is dreamt for the same number of frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unroll: int = Field(ge=1)
    """Frames dreamt in a row."""
    batch_size: int = Field(ge=1)
    """Windows a step."""
    num_steps: int = Field(ge=0)
    """Optimizer steps."""


def make_phases(*phases: tuple[int, int, int]) -> tuple[UnrollPhase, ...]:
    """Return phases from (unroll, batch size, steps)."""
    return tuple(UnrollPhase(unroll=u, batch_size=b, num_steps=n) for u, b, n in phases)


def phase_at(phases: Sequence[UnrollPhase], train_step: int) -> UnrollPhase:
    """Return the phase that `train_step` falls into; steps beyond the last phase belong to it."""
    for phase in phases:
        if train_step < phase.num_steps:
            return phase
        train_step -= phase.num_steps
    return phases[-1]
