"""Settings of the reward head's training at the end of a world model's (training/reward_fit.py)."""

from __future__ import annotations

from pydantic import Field

from worldgen_core.models.reward_head_settings import RewardHeadSettings
from worldgen_core.training.fit_settings import FitSettings
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.phases import CurriculumSettings


class RewardFitSettings(FitSettings):
    """How the reward head is trained, where the dataset has rewards."""

    head: RewardHeadSettings = RewardHeadSettings()
    """Its size."""
    max_values: int = Field(default=32, ge=2)
    """A dataset with more different rewards gets so many values between its smallest and its largest."""
    batch_size: int = Field(default=32, ge=1)
    """Frames a step; rare rewards are drawn with the square root of their share."""
    num_steps: int = Field(default=1500, ge=0)
    """Optimizer steps; 0 means off: no reward head."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Decoupled decay."""

    def loop(self, settings: LoopSettings) -> LoopSettings:
        """As `FitSettings.loop`; divergence is a ratio of losses, which means nothing where they go to 0."""
        return super().loop(settings).model_copy(update={"diverged_at": 0.0, "crept_at": 0.0})


class RewardedCurriculum(CurriculumSettings):
    """A curriculum after which a reward head is trained, where the dataset has rewards."""

    reward: RewardFitSettings = RewardFitSettings()
    """That training; the model's own weights do not depend on it."""


SMOKE_REWARD = RewardFitSettings(head=RewardHeadSettings(width=8), batch_size=16, num_steps=20)
"""Shows that it runs."""
