"""The records of a world (areas of tiles, what stands on them, doors, people) and a plan to build them on.

A world is a town and the rooms of its houses, a pure function of its seed; overworld_town.py and
overworld_rooms.py lay them out. Areas have no pictures: overworld_render.py paints them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, UInt8

from worldgen_core.games.base import Facing

Tile = tuple[int, int]
"""Column and row."""
FACINGS: tuple[Facing, ...] = ("up", "down", "left", "right")
STEPS: Mapping[Facing, Tile] = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
OPPOSITE: Mapping[Facing, Facing] = {"up": "down", "down": "up", "left": "right", "right": "left"}

GRASS, SAND, WATER, FLOOR, WALL, VOID = range(6)
"""Kinds of ground."""
_FLAT = frozenset({"rug", "doormat", "flowers", "tall_grass"})
"""Things that lie below all others."""


@dataclass(frozen=True)
class Place:
    """Where somebody stands, and how."""

    area: int
    x: int
    y: int
    facing: Facing


@dataclass(frozen=True)
class Talker:
    """Somebody (or, without a look, a sign) that has something to say to who faces it and presses `a`."""

    x: int
    y: int
    text: str
    look: int | None = None
    facing: Facing = "down"


@dataclass(frozen=True)
class Thing:
    """Something drawn with its lower left corner on the lower left corner of a tile."""

    kind: str
    x: int
    y: int
    variant: int = 0
    width: int = 1
    door: int = 0


@dataclass(frozen=True, eq=False)
class Area:
    """One map: what may not be walked on, where doors lead, who is there, and what it looks like."""

    name: str
    is_blocked: Bool[np.ndarray, "h w"]
    ground: UInt8[np.ndarray, "h w"]
    style: int
    things: tuple[Thing, ...]
    talkers: tuple[Talker, ...]
    doors: Mapping[Tile, Place]

    @property
    def num_columns(self) -> int:
        """Tiles from left to right."""
        return self.is_blocked.shape[1]

    @property
    def num_rows(self) -> int:
        """Tiles from top to bottom."""
        return self.is_blocked.shape[0]

    def is_free(self, tile: Tile) -> bool:
        """Whether the player may step there."""
        x, y = tile
        return 0 <= x < self.num_columns and 0 <= y < self.num_rows and not self.is_blocked[y, x]

    def talker_at(self, tile: Tile) -> Talker | None:
        """Who can be talked to there."""
        return next((talker for talker in self.talkers if (talker.x, talker.y) == tile), None)


@dataclass(frozen=True, eq=False)
class World:
    """All areas of a seed; the town is the first."""

    seed: int
    areas: tuple[Area, ...]

    def free_tiles(self) -> list[tuple[int, int, int]]:
        """Every (area, column, row) on which the player can stand and stay; doors carry on at once."""
        return [
            (index, x, y)
            for index, area in enumerate(self.areas)
            for y, x in np.argwhere(~area.is_blocked).tolist()
            if (x, y) not in area.doors
        ]


def next_tile(tile: Tile, facing: Facing) -> Tile:
    """The neighbour in that direction."""
    return tile[0] + STEPS[facing][0], tile[1] + STEPS[facing][1]


@dataclass
class Plan:
    """An area while it is being laid out."""

    rng: np.random.Generator
    num_columns: int
    num_rows: int
    things: list[Thing] = field(default_factory=list[Thing])
    talkers: list[Talker] = field(default_factory=list[Talker])
    doors: dict[Tile, Place] = field(default_factory=dict[Tile, Place])

    def __post_init__(self) -> None:
        self.is_blocked = np.zeros((self.num_rows, self.num_columns), bool)
        self.is_taken = np.zeros((self.num_rows, self.num_columns), bool)
        """Where something is already, walkable or not."""
        self.ground = np.full((self.num_rows, self.num_columns), GRASS, np.uint8)

    def choose(self, *options: int) -> int:
        """One of these, at random."""
        return options[int(self.rng.integers(len(options)))]

    def box(self, x: int, y: int, width: int, height: int) -> tuple[slice, slice]:
        """Rows and columns of a rectangle."""
        return np.s_[y : y + height, x : x + width]

    def put(
        self, thing: Thing, *, width: int = 1, height: int = 1, is_solid: bool = True, blocked_rows: int = 0
    ) -> None:
        """Place a thing of this size in tiles; `thing.y` is its lowest row.

        Of something solid the lowest `blocked_rows` rows block the way, all of them by default.
        """
        self.things.append(thing)
        self.is_taken[self.box(thing.x, thing.y - height + 1, width, height)] = True
        if is_solid:
            rows = blocked_rows or height
            self.is_blocked[self.box(thing.x, thing.y - rows + 1, width, rows)] = True

    def talker(self, talker: Talker) -> None:
        """Place somebody, or a sign."""
        self.talkers.append(talker)
        self.is_taken[talker.y, talker.x] = self.is_blocked[talker.y, talker.x] = True

    def pave(self, x: int, y: int, width: int, height: int) -> None:
        """Lay a path of sand that nothing is put on later."""
        self.ground[self.box(x, y, width, height)] = SAND
        self.is_taken[self.box(x, y, width, height)] = True

    def reached_from(self, start: Tile) -> Bool[np.ndarray, "h w"]:
        """Where one can walk to."""
        reached = np.zeros_like(self.is_blocked)
        reached[start[1], start[0]] = True
        queue = deque([start])
        while queue:
            tile = queue.popleft()
            for facing in FACINGS:
                x, y = next_tile(tile, facing)
                inside = 0 <= x < self.num_columns and 0 <= y < self.num_rows
                if inside and not self.is_blocked[y, x] and not reached[y, x]:
                    reached[y, x] = True
                    queue.append((x, y))
        return reached

    def finish(self, name: str, style: int) -> Area:
        """The finished area."""
        for array in (self.is_blocked, self.ground):
            array.setflags(write=False)
        things = tuple(sorted(self.things, key=lambda thing: (thing.kind not in _FLAT, thing.y, thing.x)))
        return Area(name, self.is_blocked, self.ground, style, things, tuple(self.talkers), dict(self.doors))
