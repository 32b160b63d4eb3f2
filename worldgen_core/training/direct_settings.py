"""Settings of the `direct` model's training, and its three sizes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.models.direct_network import DirectArchitecture
from worldgen_core.training.direct_objective import DirectLossSettings
from worldgen_core.training.loop_settings import LoopSettings


class UnrollPhase(BaseModel):
    """A stretch of the curriculum in which every window is dreamt for the same number of frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unroll: int = Field(ge=1)
    """Frames dreamt in a row, with gradients through the model's own predictions."""
    batch_size: int = Field(ge=1)
    """Windows a step."""
    num_steps: int = Field(ge=0)
    """Optimizer steps."""


class DirectSettings(BaseModel):
    """What `train_direct` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str = "flappy"
    """Whose assumptions the network may make; the staleness of the stage follows that game's file."""
    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, batches and noise."""
    architecture: DirectArchitecture = DirectArchitecture()
    """Size of the network; what depends on the game is filled in from the game and the data."""
    phases: tuple[UnrollPhase, ...] = Field(min_length=1)
    """The curriculum: one-step quality first, long dreams last."""
    loss: DirectLossSettings = DirectLossSettings()
    """Weights of the parts of the loss."""
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


def _phases(*phases: tuple[int, int, int]) -> tuple[UnrollPhase, ...]:
    return tuple(UnrollPhase(unroll=u, batch_size=b, num_steps=n) for u, b, n in phases)


def smoke() -> DirectSettings:
    """A few seconds; shows that everything runs, and learns next to nothing."""
    return DirectSettings(
        architecture=DirectArchitecture(channels=(16, 32), num_blocks=(1, 1, 1)),
        phases=_phases((1, 4, 30), (2, 3, 20), (4, 2, 20)),
        loop=LoopSettings(warmup_steps=5, checkpoint_every=30, log_every=5, ema_decay=0.9),
    )


def laptop() -> DirectSettings:
    """Under 14 minutes on two idle CPU cores without AMX; the figures are in docs/decisions."""
    return DirectSettings(
        architecture=DirectArchitecture(channels=(40, 112)),
        phases=_phases((1, 16, 350), (2, 10, 450), (4, 8, 420), (8, 5, 480), (12, 4, 400)),
    )


def paper() -> DirectSettings:
    """For one GPU and some hours; planned and stepped once on a CPU."""
    return DirectSettings(
        architecture=DirectArchitecture(channels=(192, 384), num_blocks=(2, 4, 3), condition=256, memory=32),
        phases=_phases((1, 64, 20_000), (2, 48, 20_000), (4, 32, 20_000), (8, 24, 20_000), (12, 16, 20_000)),
        loop=LoopSettings(
            warmup_steps=500, ema_decay=0.999, checkpoint_every=1000, log_every=100, precision="bf16"
        ),
    )
