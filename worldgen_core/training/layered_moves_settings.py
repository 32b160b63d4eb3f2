"""Settings of what the mover learns from and of its loss."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Group = Literal["start", "blocked", "turn", "stop", "idle", "walk", "leave"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""start: begins to walk; blocked: a walking key and no motion; turn: goes another way; stop: comes to rest;
idle: rests without a key; walk: goes straight on; leave: the scene ends."""


class MoverLossSettings(BaseModel):
    """How batches are drawn, spoilt and weighed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(default=96, ge=1)
    """Frames a step."""
    shares: dict[Group, float] = Field(
        default_factory=lambda: {
            "start": 0.2,
            "blocked": 0.2,
            "turn": 0.15,
            "stop": 0.12,
            "idle": 0.05,
            "walk": 0.23,
            "leave": 0.05,
        }
    )
    """How often each kind of frame is drawn; kinds that the footage lacks leave their share to the others."""
    short_share: float = Field(default=0.5, ge=0, le=1)
    """Share of samples whose history is cut short, as at the beginning of a dream."""
    strange_share: float = Field(default=0.02, ge=0, le=1)
    """Share of remembered motions that are replaced by none."""
    hidden_share: float = Field(default=0.4, ge=0, le=1)
    """Share of samples in which the world behind the player is not known, as when a dream begins."""
    pose_share: float = Field(default=0.2, ge=0, le=1)
    """Share of samples whose last pose is another one that looks the same way."""
    pose_weight: float = Field(default=0.5, ge=0)
    """Weight of the pose's cross-entropy; the motion's is 1."""
    follows_weight: float = Field(default=0.5, ge=0)
    """Weight of the camera's cross-entropy."""
    leaves_weight: float = Field(default=0.2, ge=0)
    """Weight of the cross-entropy of the scene's end."""
    free_weight: float = Field(default=0.5, ge=0)
    """Weight of the cross-entropy of which tiles can be walked on."""
    shunned_weight: float = Field(default=0.2, ge=0)
    """Weight, beside those of entered and closed tiles, of tiles that the player stood beside and never
    entered, nor anything that looks like them; 0 means off."""
    novel_weight: float = Field(default=0.1, ge=0)
    """Weight of looks that the game does not have, which count as free: a player who sees a room for the
    first time can walk in it. Raising it makes unseen walls less solid."""
    shunned_tolerance: float = Field(default=20.0, ge=0)
    """Grey levels (root mean square) by which tiles that look alike differ; raising it spares more tiles."""
