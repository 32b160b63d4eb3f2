"""Settings of the fit of a prior of chance at the end of a training (training/chance_prior.py)."""

from __future__ import annotations

from pydantic import Field

from worldgen_core.training.fit_settings import FitSettings
from worldgen_core.training.reward_settings import RewardedCurriculum


class PriorFitSettings(FitSettings):
    """How the prior is fitted at the end."""

    num_examples: int = Field(default=20_000, ge=1)
    """Dreamt frames to learn from."""
    unroll: int = Field(default=12, ge=1)
    """Frames dreamt in a row to get them."""
    num_windows: int = Field(default=64, ge=1)
    """Dreams side by side."""
    batch_size: int = Field(default=256, ge=1)
    """Examples a step."""
    num_steps: int = Field(default=4000, ge=0)
    """Optimizer steps; 0 means off: the prior stays as the common training left it."""
    weight_decay: float = Field(default=1e-3, ge=0)
    """Decoupled decay; there are more weights than independent examples."""


class ChanceCurriculum(RewardedCurriculum):
    """A curriculum after which the prior of the chance is fitted, where chance is an input."""

    prior: PriorFitSettings = PriorFitSettings(num_examples=12_000, num_steps=3000)
    """That fit; a diffusion model takes longer for a dream than `direct`, so it is made of fewer."""


SMOKE_FIT = PriorFitSettings(num_examples=128, unroll=4, num_windows=16, batch_size=64, num_steps=30)
"""Shows that it runs."""
