"""What the fits at the end of a training share: small networks, trained by AdamW on the same device."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings


class FitSettings(BaseModel):
    """How a part of a model is fitted once its network is done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(ge=1)
    """Examples a step."""
    num_steps: int = Field(ge=0)
    """Optimizer steps; 0 means off."""
    rate: float = Field(default=2e-3, gt=0)
    """AdamW's peak learning rate."""
    weight_decay: float = Field(ge=0)
    """Decoupled decay."""

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
