"""Size of the head that tells rewards (models/reward_head.py)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RewardHeadSettings(BaseModel):
    """Size of the head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch: int = Field(default=4, ge=1)
    """Side in pixels of the squares into which frames are cut."""
    width: int = Field(default=16, ge=1)
    """Channels of the fine level; the coarse one has twice as many."""
    num_values: int = Field(default=2, ge=1)
    """Rewards between which it chooses; training fills it in from the dataset."""
