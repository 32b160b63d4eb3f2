"""What stands or grows outdoors, drawn by code: trees, bushes, flowers, fences, signs; and the ground."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Bool, UInt8

from worldgen_core.games.overworld_pixels import TILE, Colour, Sprite, blank, disc, shrink, stamp

GRASS: tuple[Colour, ...] = ((128, 200, 112), (112, 184, 98), (150, 216, 130))
SAND: tuple[Colour, ...] = ((232, 210, 160), (214, 188, 136), (244, 228, 186))
SAND_EDGE: Colour = (188, 158, 108)
WATER: tuple[Colour, ...] = ((96, 168, 232), (76, 144, 214), (152, 206, 248))
FOAM: Colour = (206, 234, 250)
SHORE: Colour = (66, 122, 96)
LEAF: tuple[Colour, ...] = ((34, 92, 70), (52, 124, 80), (76, 154, 88), (108, 184, 98), (152, 212, 118))
BARK: tuple[Colour, ...] = ((92, 62, 50), (132, 92, 66), (164, 120, 84))
OUTLINE: Colour = (40, 48, 64)
WOOD: tuple[Colour, ...] = ((110, 72, 48), (164, 112, 70), (200, 148, 96))
WHITE: Colour = (250, 250, 244)

_TUFTS = ((2, 3), (10, 6), (5, 11), (13, 13))
_SPECKS = ((3, 4), (11, 2), (7, 9), (14, 12), (1, 14))


def ground_tile(kind: str, variant: int) -> UInt8[np.ndarray, "16 16 3"]:
    """A whole tile of grass, sand or water; variants differ in where the details are."""
    colours = {"grass": GRASS, "sand": SAND, "water": WATER}[kind]
    tile = np.full((TILE, TILE, 3), colours[0], np.uint8)
    shift = variant * 5
    if kind == "grass":
        for x, y in _TUFTS[: 2 + variant % 3]:
            _tuft(tile, (x + shift) % 13, (y + shift) % 13)
    elif kind == "sand":
        for i, (x, y) in enumerate(_SPECKS[: 2 + variant % 3]):
            tile[(y + shift) % TILE, (x + shift) % 15 : (x + shift) % 15 + 2] = colours[1 + i % 2]
    else:
        for x, y, width in ((1, 3, 5), (9, 8, 6), (3, 13, 4)):
            left = (x + shift) % 10
            tile[y, left : left + width] = colours[2]
            tile[y + 1, left + 1 : left + width + 1] = colours[1]
    return tile


def _tuft(tile: UInt8[np.ndarray, "16 16 3"], x: int, y: int) -> None:
    tile[y, [x, x + 2]] = GRASS[1]
    tile[y + 1, x + 1] = GRASS[1]
    tile[y, x + 1] = GRASS[2]


def _leafy(canopy: Bool[np.ndarray, "h w"], light_x: int, light_y: int, reach: int) -> Sprite:
    """Foliage of this shape: darker away from the light, in scallops like leaves, with an outline."""
    height, width = canopy.shape
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(columns - light_x, (rows - light_y) * 1.1) / reach
    leaves = 0.16 * (((columns + 2 * (rows // 3 % 2)) % 4 < 2) ^ (rows % 3 == 0)) - 0.06
    level = np.clip(np.floor(4.6 - 3.9 * (distance + leaves)), 1, 4).astype(int)
    sprite = blank(width, height)
    for index in (1, 2, 3, 4):
        sprite.cover(canopy & (level == index), LEAF[index])
    sprite.cover(canopy & ~shrink(canopy), LEAF[0])
    return sprite


@cache
def big_tree() -> Sprite:
    """A round tree, two tiles wide and two high."""
    sprite = blank(32, 32)
    sprite.cover(disc(32, 32, 16, 28, 12, 0.3), GRASS[1])
    sprite.fill(13, 22, 7, 8, BARK[0])
    sprite.fill(14, 22, 4, 7, BARK[1])
    sprite.fill(14, 22, 2, 6, BARK[2])
    parts = ((16, 9, 9), (9, 14, 8), (23, 14, 8), (16, 16, 9), (11, 19, 6), (21, 19, 6))
    canopy = np.any([disc(32, 32, *part) for part in parts], axis=0)
    sprite.put(_leafy(canopy, 12, 6, 21), 0, 0)
    return sprite


@cache
def pine() -> Sprite:
    """A fir, one tile wide and two high."""
    sprite = blank(16, 32)
    sprite.cover(disc(16, 32, 8, 29.5, 6.5, 0.35), GRASS[1])
    sprite.fill(6, 25, 4, 5, BARK[0])
    sprite.fill(7, 25, 2, 5, BARK[1])
    rows, columns = np.mgrid[:32, :16]
    half = np.select(
        [rows < 1, rows < 10, rows < 18, rows < 27],
        [-1, 0.8 + (rows - 1) * 0.5, 2.6 + (rows - 10) * 0.52, 3.4 + (rows - 18) * 0.5],
        -1,
    )
    sprite.put(_leafy(np.abs(columns + 0.5 - 8) <= half, 5, 5, 24), 0, 0)
    return sprite


@cache
def bush() -> Sprite:
    """A low round bush of one tile."""
    sprite = blank(16, 16)
    sprite.cover(disc(16, 16, 8, 13, 7, 0.4), GRASS[1])
    shape = disc(16, 16, 8, 8, 6.4) | disc(16, 16, 4.5, 10, 4) | disc(16, 16, 11.5, 10, 4)
    sprite.put(_leafy(shape, 6, 4, 13), 0, 0)
    return sprite


_FLOWERS: tuple[Colour, ...] = ((236, 92, 100), (250, 214, 92), (250, 246, 240), (148, 120, 224))


@cache
def flowers(variant: int) -> Sprite:
    """Three small flowers on the grass."""
    sprite = blank(16, 16)
    petal = _FLOWERS[variant % 4]
    for x, y in ((2, 2), (10, 5), (4, 10)):
        sprite.fill(x + 1, y + 3, 1, 3, LEAF[2])
        sprite.fill(x + 2, y + 4, 2, 1, LEAF[2])
        sprite.fill(x, y + 1, 3, 1, petal)
        sprite.fill(x + 1, y, 1, 3, petal)
        sprite.fill(x + 1, y + 1, 1, 1, (255, 240, 150) if variant % 4 != 1 else (214, 130, 60))
    return sprite


@cache
def tall_grass() -> Sprite:
    """Grass to wade through."""
    rows = (
        "...l....",
        ".l.l..l.",
        ".llL.lL.",
        "lLlLlLl.",
        "lLLLLLLl",
        ".LLdLdL.",
        "..dddd..",
        "........",
    )
    blades = stamp(rows, {"l": LEAF[4], "L": LEAF[3], "d": LEAF[2]})
    sprite = blank(16, 16)
    for x, y in ((0, 0), (8, 0), (0, 8), (8, 8)):
        sprite.put(blades, x, y)
    return sprite


@cache
def fence() -> Sprite:
    """One tile of a white fence."""
    sprite = blank(16, 16)
    for y in (5, 10):
        sprite.frame(-1, y, 18, 4, WHITE, (150, 146, 150))
    for x in (2, 10):
        sprite.frame(x, 2, 4, 13, WHITE, (150, 146, 150))
        sprite.fill(x + 2, 3, 1, 11, (222, 220, 222))
    return sprite


@cache
def sign() -> Sprite:
    """A wooden sign to read."""
    sprite = blank(16, 16)
    sprite.fill(6, 10, 4, 5, WOOD[0])
    sprite.fill(7, 10, 2, 5, WOOD[1])
    sprite.frame(1, 2, 14, 9, WOOD[2], WOOD[0])
    sprite.fill(2, 9, 12, 1, WOOD[1])
    for x, y, width in ((3, 4, 7), (11, 4, 2), (3, 6, 4), (8, 6, 5)):
        sprite.fill(x, y, width, 1, WOOD[0])
    return sprite


@cache
def rock() -> Sprite:
    """A grey boulder."""
    sprite = blank(16, 16)
    sprite.cover(disc(16, 16, 8, 13, 7, 0.4), GRASS[1])
    shape = disc(16, 16, 8, 9, 6.6, 0.85) | disc(16, 16, 6, 7, 4.6)
    sprite.cover(shape, (128, 126, 140))
    sprite.cover(disc(16, 16, 6.5, 7, 4.6, 0.9) & shape, (162, 160, 172))
    sprite.cover(disc(16, 16, 5.5, 5.5, 2.4, 0.8) & shape, (196, 196, 206))
    sprite.cover(shape & ~shrink(shape), (84, 80, 98))
    return sprite


@cache
def flower_pot(variant: int) -> Sprite:
    """A clay pot with flowers."""
    petal = _FLOWERS[variant % 4]
    palette = {"o": OUTLINE, "l": LEAF[2], "L": LEAF[1], "p": petal, "c": (206, 118, 78), "C": (166, 86, 62)}
    rows = (
        "................",
        "....pp...pp.....",
        "...pppp.pppp....",
        "..l.ppl.lpp.l...",
        ".pplllllllllpp..",
        "ppppllLLLllpppp.",
        ".ppLLLLLLLLLpp..",
        "..lLLLLLLLLLl...",
        "..ooooooooooo...",
        "..occcccccCCo...",
        "..ooooooooooo...",
        "...occcccCCo....",
        "...occcccCCo....",
        "...occcccCCo....",
        "....ooooooo.....",
        "................",
    )
    return stamp(rows, palette)
