"""Settings of the toy recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class NumbersSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    num_units: int = 6
    unit_sleep_s: float = 0.0


class TotalSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    factor: int = 2
    num_steps: int = 6
    step_sleep_s: float = 0.0


class ReportSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = "toy"
