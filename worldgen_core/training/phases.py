"""The curriculum of a training that dreams: how long the windows are at which training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.training.fit_settings import FitSettings
from worldgen_core.training.loop_settings import LoopSettings


class UnrollPhase(BaseModel):
    """A stretch of the curriculum in which every window is dreamt for the same number of frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unroll: int = Field(ge=1)
    """Frames dreamt in a row."""
    batch_size: int = Field(ge=1)
    """Windows a step."""
    num_steps: int = Field(ge=0)
    """Optimizer steps."""

    @property
    def num_frames(self) -> int:
        """Frames dreamt in one step, which is what its time goes with."""
        return self.unroll * self.batch_size


class CurriculumSettings(BaseModel):
    """What every training that dreams reads; a model adds its architecture and its loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str = "flappy"
    """Whose assumptions the training may make; the staleness of the stage follows that game's file."""
    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, batches and noise."""
    phases: tuple[UnrollPhase, ...] = Field(min_length=1)
    """The curriculum: one-step quality first, long dreams last."""
    loop: LoopSettings = LoopSettings()
    """Optimizer, schedule, checkpoints, device."""
    warm_min_unroll: int = Field(default=4, ge=1)
    """Training on from a finished model leaves out the phases with shorter dreams than this."""
    warm_rate_share: float = Field(default=0.3, gt=0, le=1)
    """Training on from a finished model multiplies both peak rates with this."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps over all phases."""
        return sum(phase.num_steps for phase in self.phases)

    @property
    def fits(self) -> list[FitSettings]:
        """What is fitted after the curriculum."""
        return [value for _, value in self if isinstance(value, FitSettings) and value.num_steps]


C = TypeVar("C", bound=CurriculumSettings)


def warm(settings: C) -> C:
    """Return the settings for training on from a finished model: only long dreams, lower rates."""
    loop = slowed(settings.loop, settings.warm_rate_share)
    phases = tuple(phase for phase in settings.phases if phase.unroll >= settings.warm_min_unroll)
    return settings.model_copy(update={"phases": phases or settings.phases[-1:], "loop": loop})


def slowed(loop: LoopSettings, share: float) -> LoopSettings:
    """Return the loop's settings with both peak rates multiplied by `share`."""
    optimizer = loop.optimizer
    rates = {"rate": optimizer.rate * share, "muon_rate": optimizer.muon_rate * share}
    return loop.model_copy(update={"optimizer": optimizer.model_copy(update=rates)})


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
