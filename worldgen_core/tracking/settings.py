"""What tracking may assume of a game, and how far it looks; neutral defaults assume nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Facing = Literal["up", "down", "left", "right"]
FACINGS: tuple[Facing, ...] = ("up", "down", "left", "right")
STEPS: dict[Facing, tuple[int, int]] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
"""Unit step (dy, dx) of each facing; y grows downwards."""


class TrackingSettings(BaseModel):
    """Assumptions about a game and bounds of the search; all lengths in pixels of the recorded frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # what is assumed of the game

    scrolls: bool = False
    """Whether the camera follows the player by whole pixels. Off: no camera motion is looked for, and no bank
    can be learnt."""
    is_diagonal: bool = False
    """Whether the camera may move along both axes at once, be it only in the frame of a turn; squares the
    number of shifts that are tried where no straight one fits."""
    max_shift: int = Field(default=4, ge=1, le=32)
    """Longest camera shift between two frames. Keep it below half a tile where tiles repeat."""
    tile_px: int = Field(default=1, ge=1)
    """Side of a tile; 1 means that no grid is known, and every place counts as a tile's edge."""
    movement: dict[str, Facing] = Field(default_factory=dict)
    """Names of the actions that walk, with their directions. Empty: no key is known to move the player."""
    max_player_px: int = Field(default=24, ge=4)
    """Longest side of the player's box."""

    # how pictures are compared

    tolerance: int = Field(default=14, ge=1, le=255)
    """Grey levels by which two pictures of the same thing differ (compression, rounding)."""
    min_agreement: float = Field(default=0.6, gt=0, le=1)
    """Share of pixels that the best shift must explain; below it two frames count as a cut or a fade."""
    dark_level: float = Field(default=12.0, ge=0)
    """Mean grey level below which a frame is black, as in the middle of a fade."""

    # the bank and the reader

    patches_per_facing: int = Field(default=4, ge=1, le=16)
    """Poses kept for each facing; more tells walking phases apart and reads slower."""
    max_examples: int = Field(default=600, ge=20)
    """Patches cut for each facing; more averages better and takes longer."""
    seed: int = Field(default=0, ge=0)
    """Of k-means' starts."""
    max_hidden_px: int = Field(default=4, ge=0)
    """How far the box may reach over the frame's edge."""
    max_step: int = Field(default=6, ge=1)
    """How far from the last place the player is looked for first."""
    colour_tolerance: float = Field(default=56.0, gt=0)
    """Distance in grey levels (root mean square over the channels) at which a pixel speaks no longer for the
    player; higher forgives blur and finds more that is not the player."""
