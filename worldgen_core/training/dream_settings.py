"""Weights of the parts of a diffusion model's loss, and whether it learns from its own dream."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DreamLossSettings(BaseModel):
    """What the losses of all diffusion models share; the defaults are the published way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dreams: bool = False
    """Whether windows are dreamt: each frame made from noise alone in one step and fed back, and errors
    charged to the frames that led to them. Off is cheaper; dreams then hold less long after minutes."""
    level_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the windows that also learn at random levels of noise where `dreams` is on; raising it makes
    samples of several steps better and costs time. Off, all windows do."""
    change_weight: float = Field(default=0.0, ge=0)
    """Extra weight per unit of change between two true pictures, there or beside it, so that small moving
    things count."""
    end_weight: float = Field(default=0.5, ge=0)
    """Weight of the termination head's cross-entropy, where there is such a head."""
    death_weight: float = Field(default=3.0, gt=0)
    """How much more a frame that ends a life counts there than one that does not."""
    chance_weight: float = Field(default=2e-3, ge=0)
    """Price of a nat of chance that the prior did not expect, where chance is an input."""
    prior_weight: float = Field(default=1e-3, ge=0)
    """Weight of the prior's own fit; it sees the chance only through a stopped gradient."""

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the parts by name; 1 of those that are not there."""
        return {"end": self.end_weight, "chance": self.chance_weight, "prior": self.prior_weight}
