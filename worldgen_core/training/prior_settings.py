"""Settings of the fit of a prior of chance at the end of a training (training/chance_prior.py)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings
from worldgen_core.training.reward_settings import RewardedCurriculum


class PriorFitSettings(BaseModel):
    """How the prior is fitted at the end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    rate: float = Field(default=2e-3, gt=0)
    """AdamW's peak learning rate."""
    weight_decay: float = Field(default=1e-3, ge=0)
    """Decoupled decay; there are more weights than independent examples."""

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Rows of its batches; nothing where it is off."""
        return (self.batch_size,) if self.num_steps else ()

    def loop(self, settings: LoopSettings) -> LoopSettings:
        """The loop of this fit, on the device of the training before it."""
        optimizer = OptimizerSettings(rate=self.rate, weight_decay=self.weight_decay, muon_rate=0.0)
        changes = {
            "optimizer": optimizer,
            "precision": "float32",
            "ema_decay": 0.99,
            "log_every": 100,
            "accumulate": 1,
            "checkpoint_activations": False,
            "compile": False,
        }
        return settings.model_copy(update=changes)


class ChanceCurriculum(RewardedCurriculum):
    """A curriculum after which the prior of the chance is fitted, where chance is an input."""

    prior: PriorFitSettings = PriorFitSettings(num_examples=12_000, num_steps=3000)
    """That fit; a diffusion model takes longer for a dream than `direct`, so it is made of fewer."""

    @property
    def fit_batch_sizes(self) -> tuple[int, ...]:
        """Those of the prior and the reward head."""
        return (*self.prior.batch_sizes, *super().fit_batch_sizes)


SMOKE_FIT = PriorFitSettings(num_examples=128, unroll=4, num_windows=16, batch_size=64, num_steps=30)
"""Shows that it runs."""
