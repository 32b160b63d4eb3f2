"""Passages: what the `layered` model remembers of doors, so that a dream goes through them.

A passage is a change of scene that the footage shows: what was around the player when it left, how the
picture faded, and the first picture of the other side. When the mover says that the scene ends, the
remembered passage is taken whose surroundings look most alike; where none does, the dream goes on as if
nothing had been said.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

MAX_LEVELS = 24
"""Frames that a fade is remembered for."""
_MAX_DISTANCE = 24.0
"""Grey levels (root mean square) by which surroundings may differ and still be the same."""
_MIN_COMMON = 0.5
"""Share of the surroundings that must be known on both sides to compare them."""


@dataclass(frozen=True, slots=True)
class Passages:
    """Remembered changes of scene."""

    window: UInt8[Tensor, "n 4 side side"]
    """What was around the player's stand, and 255 where that was known."""
    heading: Int64[Tensor, " n"]
    """Which way it was going: an index into FACINGS."""
    level: Float32[Tensor, "n levels"]
    """Brightness of each frame of the fade, -1 after the last; up to `turn` the old scene's."""
    turn: Int64[Tensor, " n"]
    """How many frames of the fade show the old scene."""
    screen: UInt8[Tensor, "n h w 3"]
    """The other side without the player."""
    is_known: Bool[Tensor, "n h w"]
    place: Int64[Tensor, "n 2"]
    """Where the player arrives on the screen, (y, x) of its box."""
    grid: Int64[Tensor, "n 2"]
    """Tiles' corners on the screen of the other side, modulo a tile."""
    pose: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.heading)

    def levels_of(self, index: int) -> list[float]:
        """Brightness of the frames of a fade."""
        return [level for level in self.level[index].tolist() if level >= 0]


@dataclass
class Journey:
    """A dream on its way through a passage."""

    passage: int
    """Index into the remembered passages."""
    fade: list[UInt8[Tensor, "h w 3"]]
    """Frames that are still to be shown before it arrives."""


def begin_journey(
    passages: Passages,
    index: int,
    departure: UInt8[Tensor, "h w 3"],
    arrival: UInt8[Tensor, "h w 3"],
) -> Journey:
    """The fade of a passage, from the last frame of the old scene to the first of the new."""
    turn = int(passages.turn[index])
    scenes = [departure if frame < turn else arrival for frame in range(MAX_LEVELS)]
    levels = passages.levels_of(index)
    fade = [
        (scene.float() * level).round().to(torch.uint8)
        for scene, level in zip(scenes[: len(levels)], levels, strict=True)
    ]
    return Journey(index, fade)


def no_passages(size: tuple[int, int], side: int, number: int = 0) -> Passages:
    """Blank passages: `number` rows of zeros, to be filled from weights."""
    height, width = size
    return Passages(
        window=torch.zeros(number, 4, side, side, dtype=torch.uint8),
        heading=torch.zeros(number, dtype=torch.int64),
        level=torch.full((number, MAX_LEVELS), -1.0),
        turn=torch.zeros(number, dtype=torch.int64),
        screen=torch.zeros(number, height, width, 3, dtype=torch.uint8),
        is_known=torch.zeros(number, height, width, dtype=torch.bool),
        place=torch.zeros(number, 2, dtype=torch.int64),
        grid=torch.zeros(number, 2, dtype=torch.int64),
        pose=torch.zeros(number, dtype=torch.int64),
    )


def join_passages(parts: list[Passages]) -> Passages:
    """All passages of a list, which is not empty."""
    return Passages(
        **{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Passages)}
    )


def find_passage(passages: Passages, window: UInt8[Tensor, "4 side side"], heading: int) -> int | None:
    """The passage in whose surroundings the player is, going the same way; None if it is in none's."""
    if not len(passages):
        return None
    ours, theirs = window.float(), passages.window.float()
    common = (ours[3] == 255) & (theirs[:, 3] == 255)
    squares = (theirs[:, :3] - ours[:3]).square().mean(dim=1) * common
    share = common.float().mean(dim=(1, 2))
    distance = (squares.sum(dim=(1, 2)) / common.sum(dim=(1, 2)).clamp(min=1)).sqrt()
    fits = (share >= _MIN_COMMON) & (passages.heading == heading) & (distance <= _MAX_DISTANCE)
    if not fits.any():
        return None
    return int(torch.where(fits, distance, torch.inf).argmin())
