"""Settings of the reward head's training at the end of a world model's (training/reward_fit.py)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.models.reward_head_settings import RewardHeadSettings
from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings
from worldgen_core.training.phases import CurriculumSettings


class RewardFitSettings(BaseModel):
    """How the reward head is trained, where the dataset has rewards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: RewardHeadSettings = RewardHeadSettings()
    """Its size."""
    max_values: int = Field(default=32, ge=2)
    """A dataset with more different rewards gets so many values between its smallest and its largest."""
    batch_size: int = Field(default=32, ge=1)
    """Frames a step; rare rewards are drawn with the square root of their share."""
    num_steps: int = Field(default=1500, ge=0)
    """Optimizer steps; 0 means off: no reward head."""
    rate: float = Field(default=2e-3, gt=0)
    """AdamW's peak learning rate."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Decoupled decay."""

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Rows of its batches; nothing where it is off."""
        return (self.batch_size,) if self.num_steps else ()

    def loop(self, settings: LoopSettings) -> LoopSettings:
        """The loop of this training, on the device of the training before it."""
        optimizer = OptimizerSettings(rate=self.rate, weight_decay=self.weight_decay, muon_rate=0.0)
        changes = {
            "optimizer": optimizer,
            "precision": "float32",
            # Ratios of a loss that goes to 0 mean nothing.
            "diverged_at": 0.0,
            "crept_at": 0.0,
            "ema_decay": 0.99,
            "log_every": 100,
            "accumulate": 1,
            "checkpoint_activations": False,
            "compile": False,
        }
        return settings.model_copy(update=changes)


class RewardedCurriculum(CurriculumSettings):
    """A curriculum after which a reward head is trained, where the dataset has rewards."""

    reward: RewardFitSettings = RewardFitSettings()
    """That training; the model's own weights do not depend on it."""

    @property
    def fit_batch_sizes(self) -> tuple[int, ...]:
        """Those of the reward head."""
        return self.reward.batch_sizes


SMOKE_REWARD = RewardFitSettings(head=RewardHeadSettings(width=8), batch_size=16, num_steps=20)
"""Shows that it runs."""
