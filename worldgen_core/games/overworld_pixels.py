"""A small vocabulary for drawing pixel art by code: sprites with a mask, rectangles, discs, text stamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

Colour = tuple[int, int, int]
Number = int | float
TILE = 16
"""Native pixels a tile is wide and high."""


@dataclass(frozen=True, eq=False)
class Sprite:
    """Colours, and where they cover what lies below. Drawing changes it in place; finished ones stay."""

    pixels: UInt8[np.ndarray, "h w 3"]
    is_opaque: Bool[np.ndarray, "h w"]

    def fill(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        """Paint a rectangle, as far as it lies inside."""
        box = np.s_[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        self.pixels[box] = colour
        self.is_opaque[box] = True

    def frame(self, x: int, y: int, width: int, height: int, inner: Colour, border: Colour) -> None:
        """Paint a rectangle with a border of one pixel."""
        self.fill(x, y, width, height, border)
        self.fill(x + 1, y + 1, width - 2, height - 2, inner)

    def cover(self, mask: Bool[np.ndarray, "h w"], colour: Colour) -> None:
        """Paint wherever the mask says so."""
        self.pixels[mask] = colour
        self.is_opaque[mask] = True

    def put(self, other: Sprite, x: int, y: int) -> None:
        """Paint another sprite on this one."""
        paste(self.pixels, other, x, y)
        height, width = other.is_opaque.shape
        self.is_opaque[y : y + height, x : x + width] |= other.is_opaque


def blank(width: int, height: int) -> Sprite:
    """A sprite that covers nothing yet."""
    return Sprite(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool))


def paste(canvas: UInt8[np.ndarray, "H W 3"], sprite: Sprite, left: int, top: int) -> None:
    """Draw a sprite on a picture, cut off at the picture's borders."""
    height, width = canvas.shape[:2]
    x0, x1 = max(left, 0), min(left + sprite.pixels.shape[1], width)
    y0, y1 = max(top, 0), min(top + sprite.pixels.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    np.copyto(canvas[y0:y1, x0:x1], sprite.pixels[inside], where=sprite.is_opaque[inside][..., None])


def stamp(rows: Sequence[str], palette: Mapping[str, Colour]) -> Sprite:
    """A sprite from lines of text, one character a pixel; what the palette does not name covers nothing."""
    sprite = blank(len(rows[0]), len(rows))
    letters = np.array([list(row) for row in rows])
    for letter, colour in palette.items():
        sprite.cover(letters == letter, colour)
    return sprite


def disc(
    width: int, height: int, x: Number, y: Number, radius: Number, squash: Number = 1
) -> Bool[np.ndarray, "h w"]:
    """Mask of a disc, or of an ellipse `squash` times as high as it is wide."""
    rows, columns = np.mgrid[:height, :width]
    return (columns + 0.5 - x) ** 2 + ((rows + 0.5 - y) / squash) ** 2 <= radius**2


def grow(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The mask and its direct neighbours."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1]
    return inner | padded[1:-1, :-2] | padded[1:-1, 2:]


def shrink(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The mask without the pixels that touch its outside."""
    return ~grow(~np.pad(mask, 1))[1:-1, 1:-1]


def mirrored(sprite: Sprite) -> Sprite:
    """The same, left and right exchanged."""
    return Sprite(
        np.ascontiguousarray(sprite.pixels[:, ::-1]), np.ascontiguousarray(sprite.is_opaque[:, ::-1])
    )


def shaded(colour: Colour, factor: float) -> Colour:
    """A colour made darker (below 1) or lighter."""
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue
