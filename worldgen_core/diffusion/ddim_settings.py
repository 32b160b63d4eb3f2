"""Settings of discrete-time diffusion: the schedule of noise, and how a sample is drawn."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class NoiseScheduleSettings(BaseModel):
    """Stable Diffusion's schedule, bent so that its last level is noise alone (docs/decisions/0009)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_levels: int = Field(default=1000, ge=2)
    """Levels of noise from nearly clean to noise alone."""
    beta_start: float = Field(default=0.00085, gt=0, lt=1)
    """Variance that the first level adds; its square root goes linearly to that of the last."""
    beta_end: float = Field(default=0.012, gt=0, lt=1)
    """Variance that the last level adds, before bending."""


class DdimSettings(BaseModel):
    """How a frame is drawn; costs `num_steps` network calls, each of two rows where `guidance` is not 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_steps: int = Field(default=4, ge=1)
    """Steps from noise alone to a latent."""
    guidance: float = Field(default=1.5, ge=0)
    """How far to go from what the network says without past frames to what it says with them: 1 is what it
    says with them, at half the cost; more makes the past count more."""

    def with_steps(self, num_steps: int | None) -> DdimSettings:
        """These settings with another number of steps; None keeps it."""
        return self if num_steps is None else self.model_copy(update={"num_steps": num_steps})

    @property
    def num_rows(self) -> int:
        """Rows of the network's batch for one frame and step."""
        return 1 if self.guidance == 1 else 2
