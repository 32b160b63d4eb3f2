"""What the mover knows of a game without training: lengths, the sprite box, the keys, possible motions.

All of it comes from the game's `TrackingSettings` and from the footage (the bank of sprites, where a resting
player stands on the grid, how far it goes in a frame), and goes into the model's card.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.tracking.settings import FACINGS, TrackingSettings
from worldgen_core.tracking.sprites import SpriteBank


class MoverGame(BaseModel):
    """Lengths in pixels of the recorded frame, places as (y, x)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=1)
    """Rows of a frame."""
    width: int = Field(ge=1)
    """Columns of a frame."""
    tile_px: int = Field(ge=1)
    """Side of a tile; walks end on tiles' edges."""
    speed_px: int = Field(ge=1)
    """Pixels that a walking player goes in a frame; fewer where a walk begins or ends between two frames."""
    home: tuple[int, int]
    """Upper left corner of the player's box on the screen while the camera follows."""
    box: tuple[int, int]
    """Height and width of the player's box."""
    anchor: tuple[int, int]
    """(box corner in the world - grid) modulo tile_px of a resting player."""
    pose_facing: tuple[int, ...] = Field(min_length=1)
    """Which way each pose of the bank looks: indices into FACINGS."""
    key_facing: tuple[int, ...] = Field(min_length=1)
    """Which way each action walks: indices into FACINGS, -1 for actions that do not walk."""

    @property
    def motions(self) -> tuple[tuple[int, int], ...]:
        """All that can happen to the player in a frame, no motion first: steps of `speed_px` in all."""
        reach = range(-self.speed_px, self.speed_px + 1)
        steps = [(dy, dx) for dy in reach for dx in reach if abs(dy) + abs(dx) <= self.speed_px]
        return tuple(sorted(steps, key=lambda step: (abs(step[0]) + abs(step[1]), step)))

    @property
    def foot(self) -> tuple[int, int]:
        """Upper left corner of the tile on which the player stands, relative to its box.

        Of the corners on the grid the one that puts the tile under the box's bottom, in its middle.
        """
        wanted = (self.box[0] - self.tile_px, (self.box[1] - self.tile_px) / 2)
        y, x = (
            self.tile_px * round((want + at) / self.tile_px) - at
            for want, at in zip(wanted, self.anchor, strict=True)
        )
        return y, x


def make_game(
    bank: SpriteBank,
    settings: TrackingSettings,
    action_names: tuple[str, ...],
    *,
    frame_shape: tuple[int, int],
    anchor: tuple[int, int],
    speed_px: int,
) -> MoverGame:
    """Gather what the mover needs to know."""
    keys = [settings.movement.get(name) for name in action_names]
    home_y, home_x = bank.home.tolist()
    return MoverGame(
        height=frame_shape[0],
        width=frame_shape[1],
        tile_px=settings.tile_px,
        speed_px=speed_px,
        home=(home_y, home_x),
        box=(bank.box.height, bank.box.width),
        anchor=anchor,
        pose_facing=tuple(bank.facing.tolist()),
        key_facing=tuple(-1 if key is None else FACINGS.index(key) for key in keys),
    )
