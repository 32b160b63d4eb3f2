"""How much of a tile game is measured, and the limits that its dream keeps."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TileLimits(BaseModel):
    """What the dream of a tile game must reach to count as playable; every limit is a criterion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_starts: int = Field(default=40, ge=0)
    """Least held-out starts that the figures about moves rest on."""
    num_places: int = Field(default=8, ge=0)
    """Least places that those starts are in."""
    right_way_share: float = Field(default=0.75, ge=0, le=1)
    """Least share of held keys that move a resting player the right way where the way is open."""
    wrong_way_share: float = Field(default=0.03, ge=0, le=1)
    """Greatest share of those keys that move it another way."""
    blocked_stays_share: float = Field(default=0.85, ge=0, le=1)
    """Least share of keys held against a blocked way under which the player stays where it is."""
    exact_motion_share: float = Field(default=0.95, ge=0, le=1)
    """Least share of moving frames that move by exactly the game's pixels."""
    tap_on_edge_share: float = Field(default=0.60, ge=0, le=1)
    """Least share of keys let go during a step that end at rest on the next tile's edge."""
    psnr_gain_db_4: float = 1.5
    """Least gain in PSNR over the last frame copied, after 4 frames, in dB."""
    psnr_gain_db_16: float = 0.0
    """The same after 16 frames."""
    found_share: float = Field(default=0.80, ge=0, le=1)
    """Least share of a walk's frames with the player where it belongs, of those in which the reader finds it
    in the recording."""
    facing_share: float = Field(default=0.70, ge=0, le=1)
    """Least share of those in which it faces as in the recording."""
    sharpness_least: float = Field(default=0.8, ge=0)
    """Least ratio of sharpness to the recording's at the end of a walk; lower is blurred."""
    sharpness_most: float = Field(default=1.3, ge=0)
    """Greatest ratio of sharpness at the end of a walk; higher crumbles."""
    true_tile_share: float = Field(default=0.80, ge=0, le=1)
    """Least share of dreams that agree with the true simulator about tile and facing at the end."""
    true_wall_share: float = Field(default=0.90, ge=0, le=1)
    """Least share of walks into a true wall that stay where they are."""


STRETCH = TileLimits(
    right_way_share=0.95,
    wrong_way_share=0.01,
    blocked_stays_share=0.95,
    exact_motion_share=0.99,
    tap_on_edge_share=0.90,
    psnr_gain_db_4=3.0,
    psnr_gain_db_16=2.0,
    found_share=0.95,
    facing_share=0.95,
    sharpness_least=0.9,
    sharpness_most=1.1,
    true_tile_share=0.95,
    true_wall_share=0.98,
)
"""What would be better still; shown beside the limits and never judged."""


class TileSettings(BaseModel):
    """How much is measured of a game whose player walks on tiles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bank_frames: int = Field(default=8_000, ge=1)
    """Training frames from which the player's looks are learnt; more costs a millisecond each."""
    num_starts: int = Field(default=64, ge=1, le=1024)
    """Most rests of the held-out recording from which keys are tried."""
    place_tiles: int = Field(default=8, ge=1)
    """Side of a place: starts in one square of so many tiles of one scene count as one place."""
    hold_frames: int = Field(default=8, ge=4, le=64)
    """Frames within which a held key must move the player."""
    blocked_frames: int = Field(default=12, ge=4, le=64)
    """Frames for which a key is held against a blocked way."""
    tap_frames: int = Field(default=16, ge=8, le=64)
    """Frames from the beginning of a tap to when the player must rest."""
    num_walks: int = Field(default=12, ge=1, le=256)
    """Walks, spread evenly over the held-out recording."""
    walk_frames: int = Field(default=300, ge=20, le=5_000)
    """Frames of a walk; where held-out episodes are shorter, the longest that fits."""
    sharpness_frames: int = Field(default=20, ge=1)
    """Frames at the end of a walk over which sharpness is taken, as single frames differ much."""
    num_true_starts: int = Field(default=40, ge=1, le=1024)
    """Starts from which dream and true simulator play on, where there is one."""
    true_frames: int = Field(default=64, ge=1, le=1_000)
    """Frames after which the two are compared."""
    limits: TileLimits = TileLimits()
    """What counts as playable."""


def smoke() -> TileSettings:
    """A few seconds."""
    return TileSettings(
        bank_frames=1_000, num_starts=6, num_walks=2, walk_frames=60, num_true_starts=4, true_frames=16
    )
