"""Houses from outside, and what stands in their rooms, drawn by code."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import UInt8

from worldgen_core.games.overworld_pixels import TILE, Colour, Sprite, blank, disc, shaded, shrink
from worldgen_core.games.overworld_tiles import LEAF, OUTLINE, WHITE, WOOD, flowers

HOUSE_ROWS = 4
"""Tiles a house is high: the roof covers two and a half of them."""
_ROOF_HEIGHT = 40
ROOFS: tuple[Colour, ...] = ((86, 178, 150), (88, 132, 208), (232, 164, 76), (130, 108, 190))
_WALLS: tuple[Colour, ...] = ((250, 236, 208), (238, 232, 226), (244, 224, 200), (226, 232, 220))
_STONE: Colour = (150, 146, 154)
_GLASS: Colour = (140, 204, 240)

FLOOR: tuple[Colour, ...] = ((214, 166, 112), (196, 146, 94), (226, 182, 130))
WALLPAPERS: tuple[tuple[Colour, Colour], ...] = (
    ((240, 216, 184), (230, 202, 166)),
    ((196, 216, 228), (180, 202, 218)),
    ((216, 226, 196), (202, 214, 178)),
    ((232, 204, 212), (220, 188, 198)),
)


def _window(sprite: Sprite, x: int, y: int) -> None:
    """A window with two shutters' worth of frame and a reflection, 14 by 12."""
    sprite.frame(x, y, 14, 12, WHITE, WOOD[0])
    sprite.fill(x + 2, y + 2, 10, 8, _GLASS)
    sprite.fill(x + 3, y + 3, 2, 3, WHITE)
    sprite.fill(x + 5, y + 2, 1, 2, WHITE)
    sprite.fill(x + 7, y + 2, 1, 8, WHITE)
    sprite.fill(x + 2, y + 6, 10, 1, WHITE)


def _door(sprite: Sprite, x: int, y: int) -> None:
    """A wooden door, one tile wide and 20 pixels high."""
    sprite.frame(x + 1, y, 14, 20, WOOD[1], OUTLINE)
    sprite.fill(x + 3, y + 2, 10, 1, WOOD[2])
    for left in (3, 6, 9, 12):
        sprite.fill(x + left, y + 3, 1, 16, WOOD[0])
    sprite.frame(x + 4, y + 4, 8, 6, _GLASS, WOOD[0])
    sprite.fill(x + 5, y + 5, 2, 2, WHITE)
    sprite.fill(x + 11, y + 12, 2, 2, (250, 214, 92))
    sprite.fill(x, y + 18, 16, 2, _STONE)


def _roof(sprite: Sprite, width: int, colour: Colour) -> None:
    """Rows of shingles, lit from above, with trimmed edges and a chimney."""
    dark, light = shaded(colour, 0.72), shaded(colour, 1.14)
    sprite.fill(0, 4, width, _ROOF_HEIGHT - 4, colour)
    for row, y in enumerate(range(8, _ROOF_HEIGHT - 3, 6)):
        sprite.fill(0, y, width, 1, dark)
        sprite.fill(0, y + 1, width, 1, light)
        for x in range(row % 2 * 4, width, 8):
            sprite.fill(x, y - 5, 1, 5, shaded(colour, 0.86))
    sprite.fill(0, 2, width, 1, OUTLINE)
    sprite.fill(0, 3, width, 4, light)
    sprite.fill(0, 7, width, 1, dark)
    trim = shaded(colour, 0.58)
    for x in (0, width - 3):
        sprite.frame(x, 2, 3, _ROOF_HEIGHT - 1, trim, OUTLINE)
    sprite.fill(0, _ROOF_HEIGHT - 3, width, 3, trim)
    sprite.fill(0, _ROOF_HEIGHT, width, 1, OUTLINE)
    sprite.frame(width - 18, -1, 9, 13, (190, 120, 100), OUTLINE)
    sprite.fill(width - 18, 0, 9, 3, OUTLINE)
    sprite.fill(width - 17, 1, 7, 1, _STONE)
    sprite.fill(width - 17, 6, 7, 1, (150, 88, 78))


@cache
def house(width_tiles: int, door: int, style: int) -> Sprite:
    """A house of four rows of tiles whose door is in the lowest row, `door` tiles from the left."""
    width, height = width_tiles * TILE, HOUSE_ROWS * TILE
    wall = _WALLS[style % len(_WALLS)]
    sprite = blank(width, height)
    sprite.fill(2, _ROOF_HEIGHT - 2, width - 4, height - _ROOF_HEIGHT + 2, OUTLINE)
    sprite.fill(3, _ROOF_HEIGHT - 2, width - 6, height - _ROOF_HEIGHT + 1, wall)
    for y in range(_ROOF_HEIGHT + 6, height - 5, 5):
        sprite.fill(3, y, width - 6, 1, shaded(wall, 0.9))
    sprite.fill(3, _ROOF_HEIGHT + 1, width - 6, 3, shaded(wall, 0.74))
    sprite.fill(3, height - 5, width - 6, 4, _STONE)
    for x in range(6, width - 4, 9):
        sprite.fill(x, height - 5, 1, 4, shaded(_STONE, 0.8))
    _roof(sprite, width, ROOFS[style % len(ROOFS)])
    _door(sprite, door * TILE, height - 20)
    for column in range(1, width_tiles - 1):
        if abs(column - door) == 1:
            _window(sprite, column * TILE + 1, height - 19)
            sprite.fill(column * TILE + 1, height - 8, 14, 2, LEAF[3])
            for x in range(column * TILE + 2, column * TILE + 14, 4):
                sprite.fill(x, height - 9, 2, 2, ROOFS[(style + 1) % len(ROOFS)])
    return sprite


def floor_tile() -> UInt8[np.ndarray, "16 16 3"]:
    """Wooden boards."""
    tile = np.full((TILE, TILE, 3), FLOOR[0], np.uint8)
    for row, y in enumerate((0, 4, 8, 12)):
        tile[y + 3] = FLOOR[1]
        tile[y, :] = FLOOR[2]
        tile[y : y + 4, (row * 5 + 3) % TILE] = FLOOR[1]
    return tile


def wall_piece(style: int) -> UInt8[np.ndarray, "32 16 3"]:
    """A room's back wall: two tiles high, wallpaper over a wooden base."""
    plain, stripe = WALLPAPERS[style % len(WALLPAPERS)]
    piece = np.full((2 * TILE, TILE, 3), plain, np.uint8)
    piece[:, ::4] = stripe
    piece[:, 1::4] = stripe
    piece[:3] = WOOD[0]
    piece[1] = WOOD[2]
    piece[23:] = WOOD[1]
    piece[23] = WOOD[2]
    piece[22] = piece[31] = WOOD[0]
    piece[24:31, ::8] = WOOD[0]
    return piece


@cache
def rug(colour: int) -> Sprite:
    """A rug of three by two tiles, to walk on."""
    base = ROOFS[colour % len(ROOFS)]
    sprite = blank(48, 32)
    sprite.frame(1, 1, 46, 30, base, shaded(base, 0.6))
    sprite.frame(4, 4, 40, 24, shaded(base, 0.86), (252, 232, 190))
    sprite.cover(disc(48, 32, 24, 16, 8), (252, 232, 190))
    sprite.cover(disc(48, 32, 24, 16, 6), base)
    return sprite


@cache
def doormat() -> Sprite:
    """The way out."""
    sprite = blank(16, 16)
    sprite.fill(0, 0, 16, 16, FLOOR[1])
    sprite.frame(1, 1, 14, 12, (206, 84, 84), (132, 48, 62))
    sprite.fill(3, 3, 10, 1, (248, 196, 150))
    sprite.fill(3, 10, 10, 1, (248, 196, 150))
    sprite.fill(0, 14, 16, 2, (96, 64, 52))
    return sprite


@cache
def bed(colour: int) -> Sprite:
    """A bed, one tile wide and two high."""
    base = ROOFS[(colour + 1) % len(ROOFS)]
    sprite = blank(16, 32)
    sprite.frame(0, 2, 16, 29, WHITE, OUTLINE)
    sprite.frame(0, 1, 16, 5, WOOD[1], WOOD[0])
    sprite.frame(3, 7, 10, 6, WHITE, (190, 196, 214))
    sprite.frame(1, 14, 14, 15, base, shaded(base, 0.7))
    sprite.fill(2, 15, 12, 3, shaded(base, 1.2))
    sprite.frame(0, 28, 16, 4, WOOD[1], WOOD[0])
    return sprite


@cache
def table() -> Sprite:
    """A table of two tiles by one, with a cloth, a vase and a cup."""
    sprite = blank(32, 16)
    for x in (3, 27):
        sprite.fill(x, 10, 2, 6, WOOD[0])
    sprite.frame(0, 2, 32, 11, WOOD[2], WOOD[0])
    sprite.fill(1, 10, 30, 2, WOOD[1])
    sprite.frame(8, 2, 16, 9, (250, 240, 224), (220, 120, 120))
    sprite.fill(14, 3, 4, 5, (120, 164, 220))
    sprite.put(_posy(), 12, 0)
    sprite.frame(25, 5, 4, 4, WHITE, (150, 150, 170))
    return sprite


def _posy() -> Sprite:
    sprite = blank(8, 4)
    for x, y in ((1, 1), (4, 0), (6, 2)):
        sprite.fill(x, y, 2, 2, (240, 100, 116))
    sprite.fill(3, 2, 2, 2, LEAF[3])
    return sprite


@cache
def stool() -> Sprite:
    """A round stool."""
    sprite = blank(16, 16)
    for x in (4, 10):
        sprite.fill(x, 9, 2, 6, WOOD[0])
    seat = disc(16, 16, 8, 7, 5.6, 0.75)
    sprite.cover(seat, (220, 110, 96))
    sprite.cover(disc(16, 16, 7, 6, 3, 0.6), (240, 150, 130))
    sprite.cover(seat & ~shrink(seat), WOOD[0])
    return sprite


@cache
def bookshelf() -> Sprite:
    """A shelf of one tile, two high; it stands against the wall."""
    sprite = blank(16, 32)
    sprite.frame(0, 0, 16, 32, WOOD[1], WOOD[0])
    sprite.fill(1, 1, 14, 2, WOOD[2])
    books = (*ROOFS, (110, 176, 120), (240, 224, 180))
    for row, y in enumerate((4, 13, 22)):
        sprite.fill(2, y, 12, 8, (92, 58, 44))
        for i, x in enumerate(range(2, 14, 2)):
            top = (i * 5 + row * 3) % 3
            sprite.fill(x, y + top, 2, 8 - top, books[(i * 2 + row) % 6])
            sprite.fill(x + 1, y + top, 1, 8 - top, shaded(books[(i * 2 + row) % 6], 0.78))
    return sprite


@cache
def stove() -> Sprite:
    """A stove of one tile, two high, with a pot; it stands against the wall."""
    sprite = blank(16, 32)
    sprite.frame(6, 0, 5, 12, (120, 120, 134), OUTLINE)
    sprite.frame(0, 10, 16, 22, (206, 208, 218), OUTLINE)
    sprite.fill(1, 11, 14, 6, (92, 92, 108))
    sprite.frame(4, 8, 9, 7, (224, 112, 88), OUTLINE)
    sprite.frame(3, 21, 10, 8, (70, 60, 70), (150, 152, 166))
    sprite.fill(5, 25, 6, 3, (250, 176, 70))
    sprite.fill(7, 24, 2, 2, (254, 222, 120))
    return sprite


@cache
def house_plant() -> Sprite:
    """A plant in a pot, one tile."""
    sprite = blank(16, 16)
    sprite.frame(4, 10, 8, 6, (206, 118, 78), OUTLINE)
    leaves = disc(16, 16, 8, 6, 5.4) | disc(16, 16, 4, 6, 3.4) | disc(16, 16, 12, 6, 3.4)
    sprite.cover(leaves, LEAF[2])
    sprite.cover(disc(16, 16, 7, 4, 3), LEAF[4])
    sprite.cover(leaves & ~shrink(leaves), LEAF[0])
    return sprite


@cache
def wall_window() -> Sprite:
    """A window with curtains, to hang on a room's wall."""
    sprite = blank(20, 16)
    _window(sprite, 3, 2)
    for x in (1, 15):
        sprite.frame(x, 1, 4, 14, (236, 130, 124), (190, 88, 96))
    sprite.fill(0, 0, 20, 2, WOOD[0])
    return sprite


@cache
def wall_picture(variant: int) -> Sprite:
    """A framed picture of flowers."""
    sprite = blank(16, 14)
    sprite.frame(0, 0, 16, 14, (170, 216, 240), WOOD[0])
    sprite.fill(1, 8, 14, 5, LEAF[4])
    petals = flowers(variant)
    sprite.put(Sprite(petals.pixels[:12, :14], petals.is_opaque[:12, :14]), 1, 1)
    return sprite
