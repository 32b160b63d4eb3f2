"""Paints areas once, and draws a frame of the game from them.

Ground is painted from masks of tiles whose corners are rounded, so that every neighbourhood has its border;
what stands on it is pasted from the back to the front. A frame is a cut from the painted area, with the
people pasted on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from worldgen_core.games import overworld_houses as houses
from worldgen_core.games import overworld_tiles as tiles
from worldgen_core.games.base import Facing
from worldgen_core.games.overworld_font import BOX_HEIGHT, dialogue_box
from worldgen_core.games.overworld_map import (
    FLOOR,
    SAND,
    VOID,
    WALL,
    WATER,
    Area,
    Thing,
    World,
)
from worldgen_core.games.overworld_people import PERSON_HEIGHT, person
from worldgen_core.games.overworld_pixels import TILE, Sprite, grow, paste, shaded, shrink

NATIVE_HEIGHT, NATIVE_WIDTH = 160, 240
NUM_FADE_LEVELS = 8
_WALL_SHIFT = 4
"""What hangs on a wall hangs so many pixels below its tile's edge."""


def camera_of(area: Area, x: int, y: int) -> tuple[int, int]:
    """Left and top native pixel of the view whose player's tile is at these pixels of the area.

    It is centred on the player, stops at the edges, and stays on a small room's middle (negative values: the
    room lies inside the picture).
    """
    return (
        _camera_along(x, area.num_columns * TILE, NATIVE_WIDTH),
        _camera_along(y, area.num_rows * TILE, NATIVE_HEIGHT),
    )


def _camera_along(position: int, size: int, view: int) -> int:
    if size <= view:
        return (size - view) // 2
    return min(max(position + TILE // 2 - view // 2, 0), size - view)


@lru_cache(maxsize=32)
def painted(world: World, index: int) -> UInt8[np.ndarray, "H W 3"]:
    """The whole picture of an area without people, at least as large as the view; read-only."""
    area = world.areas[index]
    surface = np.zeros((area.num_rows * TILE, area.num_columns * TILE, 3), np.uint8)
    _paint_ground(area, surface)
    for thing in area.things:
        sprite = _sprite_of(thing)
        shift = _WALL_SHIFT if thing.kind.startswith("wall_") else 0
        paste(surface, sprite, thing.x * TILE, (thing.y + 1) * TILE - sprite.pixels.shape[0] + shift)
    pad_y = max(NATIVE_HEIGHT - surface.shape[0], 0) // 2
    pad_x = max(NATIVE_WIDTH - surface.shape[1], 0) // 2
    surface = np.pad(surface, ((pad_y, pad_y), (pad_x, pad_x), (0, 0)))
    surface.setflags(write=False)
    return surface


_PLAIN: Mapping[str, Callable[[], Sprite]] = {
    "big_tree": tiles.big_tree,
    "pine": tiles.pine,
    "bush": tiles.bush,
    "tall_grass": tiles.tall_grass,
    "fence": tiles.fence,
    "sign": tiles.sign,
    "rock": tiles.rock,
    "doormat": houses.doormat,
    "table": houses.table,
    "stool": houses.stool,
    "bookshelf": houses.bookshelf,
    "stove": houses.stove,
    "house_plant": houses.house_plant,
    "wall_window": houses.wall_window,
}
_IN_VARIANTS: Mapping[str, Callable[[int], Sprite]] = {
    "flowers": tiles.flowers,
    "flower_pot": tiles.flower_pot,
    "bed": houses.bed,
    "rug": houses.rug,
    "wall_picture": houses.wall_picture,
}


def _sprite_of(thing: Thing) -> Sprite:
    if thing.kind == "house":
        return houses.house(thing.width, thing.door, thing.variant)
    if thing.kind in _PLAIN:
        return _PLAIN[thing.kind]()
    return _IN_VARIANTS[thing.kind](thing.variant)


def _paint_ground(area: Area, surface: UInt8[np.ndarray, "H W 3"]) -> None:
    for y in range(area.num_rows):
        for x in range(area.num_columns):
            kind = int(area.ground[y, x])
            box = np.s_[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
            if kind == FLOOR:
                surface[box] = houses.floor_tile()
            elif kind == WALL:
                surface[box] = houses.wall_piece(area.style)[y * TILE : (y + 1) * TILE]
            elif kind != VOID:
                surface[box] = tiles.ground_tile("grass", (x * 7 + y * 5 + x * y) % 5)
    if (area.ground == FLOOR).any():
        _paint_room_shade(area, surface)
    for kind in (SAND, WATER):
        if (area.ground == kind).any():
            _paint_patch(area, surface, kind)


def _paint_room_shade(area: Area, surface: UInt8[np.ndarray, "H W 3"]) -> None:
    """The wall's shadow on the floor, and a border at the room's sides."""
    top = int(np.argmax(area.ground[:, 0] == FLOOR)) * TILE
    bottom = int((area.ground[:, 0] == FLOOR).sum()) * TILE + top
    surface[top : top + 3] = (surface[top : top + 3] * 0.82).astype(np.uint8)
    for columns in (np.s_[:2], np.s_[-2:]):
        surface[:bottom, columns] = houses.WOOD[0]
    surface[bottom - 2 : bottom] = houses.WOOD[0]


def _paint_patch(area: Area, surface: UInt8[np.ndarray, "H W 3"], kind: int) -> None:
    """Sand or water with rounded corners and a border."""
    mask = _rounded(area.ground == kind)
    texture = _texture("sand" if kind == SAND else "water", area.num_columns, area.num_rows)
    surface[mask] = texture[mask]
    rim = mask & ~shrink(mask)
    if kind == SAND:
        surface[rim] = tiles.SAND_EDGE
        surface[shrink(mask) & ~shrink(shrink(mask))] = tiles.SAND[2]
        surface[grow(mask) & ~mask] = tiles.GRASS[1]
    else:
        below_bank = mask & ~np.roll(mask, 5, axis=0)
        surface[below_bank] = shaded(tiles.WATER[1], 0.88)
        surface[rim] = tiles.FOAM
        surface[grow(grow(mask)) & ~mask] = tiles.SHORE


def _texture(kind: str, num_columns: int, num_rows: int) -> UInt8[np.ndarray, "H W 3"]:
    """A whole area of this ground, each tile in the variant of its place."""
    rows = [
        np.concatenate(
            [tiles.ground_tile(kind, (y * 3 + x * 5 + x * y) % 7) for x in range(num_columns)], axis=1
        )
        for y in range(num_rows)
    ]
    return np.concatenate(rows)


def _rounded(is_there: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "H W"]:
    """The tiles' area in pixels, with rounded corners on both sides and a slightly ragged edge."""
    large = np.pad(is_there, 1, mode="edge").repeat(TILE, axis=0).repeat(TILE, axis=1)
    soft = cv2.GaussianBlur(large.astype(np.float32), (0, 0), 3.2)[TILE:-TILE, TILE:-TILE]
    rows, columns = np.indices(soft.shape)
    ragged = np.where((rows * 3 + columns * 5) % 16 < 5, 0.09, 0.0)
    return soft > 0.52 - ragged


@cache
def _fade_table(level: int) -> UInt8[np.ndarray, " 256"]:
    return (np.arange(256) * level // NUM_FADE_LEVELS).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Figure:
    """Somebody to draw: the tile's left top pixel in the area, look, facing, phase of the step."""

    x: int
    y: int
    look: int | None
    facing: Facing
    phase: int = 0


def draw(
    world: World,
    index: int,
    camera: tuple[int, int],
    figures: list[Figure],
    *,
    text: str | None = None,
    is_box_on_top: bool = False,
    brightness: int = NUM_FADE_LEVELS,
) -> UInt8[np.ndarray, "160 240 3"]:
    """Draw one frame: the view of an area, the people from back to front, a dialogue, a fade."""
    surface = painted(world, index)
    area = world.areas[index]
    left = camera[0] + max(NATIVE_WIDTH - area.num_columns * TILE, 0) // 2
    top = camera[1] + max(NATIVE_HEIGHT - area.num_rows * TILE, 0) // 2
    frame = surface[top : top + NATIVE_HEIGHT, left : left + NATIVE_WIDTH].copy()
    for figure in sorted(figures, key=lambda figure: figure.y):
        sprite = person(figure.look, figure.facing, figure.phase)
        paste(frame, sprite, figure.x - camera[0], figure.y - camera[1] + TILE - PERSON_HEIGHT)
    if text is not None:
        paste(frame, dialogue_box(text, NATIVE_WIDTH), 0, 0 if is_box_on_top else NATIVE_HEIGHT - BOX_HEIGHT)
    if brightness < NUM_FADE_LEVELS:
        frame = cv2.LUT(frame, _fade_table(brightness))
    return frame
