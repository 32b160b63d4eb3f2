"""A scripted player of the overworld who shows a model all there is to see.

Unlike most people it runs into walls on purpose: footage without keys pressed against walls teaches a model
that one can walk through them. It looks at the true situation, decides once a recorded frame, and keeps books
on where it has been, so that its next errand goes where it has been least. Deterministic in world and seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from worldgen_core.games.base import Facing
from worldgen_core.games.overworld_map import FACINGS, Area, Tile, World, next_tile
from worldgen_core.games.overworld_paths import path_to
from worldgen_core.games.overworld_simulator import (
    ACTION_NAMES,
    ACTION_OF,
    FACING_OF,
    NONE,
    START,
    A,
    B,
    Situation,
)

_ERRAND_SHARES = (0.46, 0.2, 0.09, 0.06, 0.05, 0.06, 0.08)
"""How often each kind of errand is chosen: bump, visit, taps, talk, stand, rush, mash."""
_ERRANDS_OUTDOORS = (7, 16)
_ERRANDS_INDOORS = (4, 9)
"""Errands (at least, at most) before the next door."""

Edge = tuple[int, int, int, Facing]
"""Area, column, row, and the blocked side."""


@dataclass
class Books:
    """Where players have been; several recordings of a world may share them."""

    visits: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """How often each (area, column, row) was stepped on."""
    bumps: Counter[Edge] = field(default_factory=Counter)
    """How many frames each blocked side was pressed against."""
    entered: Counter[Tile] = field(default_factory=Counter)
    """How often each of the town's doors was chosen."""


class ScriptedPlayer:
    """Chooses an action a frame; `act` must be shown every situation in turn."""

    def __init__(self, world: World, seed: int, *, books: Books | None = None) -> None:
        self._world = world
        self._rng = np.random.default_rng(seed)
        self.books = Books() if books is None else books
        self._tiles = {
            area: [tile for tile in world.free_tiles() if tile[0] == area] for area in _areas(world)
        }
        self._sides = {area: _blocked_sides(world, self._tiles[area]) for area in _areas(world)}
        self._last_tile: tuple[int, int, int] | None = None
        self._script = self._play()

    def act(self, situation: Situation) -> int:
        """The action that follows this situation."""
        self._now = situation
        here = (situation.area, situation.x, situation.y)
        if here != self._last_tile:
            self.books.visits[here] += 1
            self._last_tile = here
        action = next(self._script)
        self._note_bump(action)
        return action

    def _note_bump(self, action: int) -> None:
        facing = FACING_OF.get(action)
        now = self._now
        if facing and now.is_at_rest and not self._area.is_free(next_tile(now.tile, facing)):
            self.books.bumps[now.area, now.x, now.y, facing] += 1

    @property
    def _area(self) -> Area:
        return self._world.areas[self._now.area]

    def _integer(self, least: int, most: int) -> int:
        return int(self._rng.integers(least, most + 1))

    def _is_lucky(self, chance: float) -> bool:
        return bool(self._rng.random() < chance)

    # Errands

    def _play(self) -> Iterator[int]:
        """One errand after the other; after some of them through a door."""
        errands = (self._bump, self._visit, self._taps, self._talk, self._stand, self._rush, self._mash)
        while True:
            for _ in range(self._integer(*(_ERRANDS_INDOORS if self._now.area else _ERRANDS_OUTDOORS))):
                yield from errands[int(self._rng.choice(len(errands), p=_ERRAND_SHARES))]()
                yield from self._settle()
                if self._is_lucky(0.3):
                    yield from self._hold(NONE, self._integer(1, 6))
            yield from self._through_a_door()
            yield from self._settle()

    def _settle(self) -> Iterator[int]:
        """End a dialogue, and wait for the end of a step or a fade."""
        while not self._now.is_at_rest or self._now.tile in self._area.doors:
            if self._now.is_talking:
                button = A if self._is_lucky(0.5) else B
                yield button if self._now.last_action != button else NONE
            else:
                yield NONE

    def _hold(self, action: int, num_frames: int) -> Iterator[int]:
        for _ in range(num_frames):
            yield action

    def _bump(self) -> Iterator[int]:
        """Press against the side that was pressed against least, of those that are not far."""
        edges = self._sides[self._now.area]
        yield from self._walk_to(self._least(edges)[1:3])
        for facing in self._rng.permutation(FACINGS).tolist():
            here = (*self._here, facing)
            if self._now.is_at_rest and here in edges and (self._is_lucky(0.6) or not self.books.bumps[here]):
                yield from self._hold(ACTION_OF[facing], self._integer(1, 6))
                if self._is_lucky(0.3):
                    yield from self._hold(NONE, self._integer(1, 5))

    @property
    def _here(self) -> tuple[int, int, int]:
        return self._now.area, self._now.x, self._now.y

    def _least(self, edges: list[Edge]) -> Edge:
        """Least pressed first, then near ones, with some chance."""

        def cost(edge: Edge) -> float:
            distance = abs(edge[1] - self._now.x) + abs(edge[2] - self._now.y)
            return (
                40.0 * min(self.books.bumps[edge], 3)
                + self.books.bumps[edge]
                + distance
                + 8.0 * self._rng.random()
            )

        return min(edges, key=cost)

    def _visit(self) -> Iterator[int]:
        """Walk to the tile that was visited least, near ones first."""

        def cost(tile: tuple[int, int, int]) -> float:
            distance = abs(tile[1] - self._now.x) + abs(tile[2] - self._now.y)
            return 20.0 * self.books.visits[tile] + distance + 8.0 * self._rng.random()

        yield from self._walk_to(min(self._tiles[self._now.area], key=cost)[1:])

    def _taps(self) -> Iterator[int]:
        """Touch directions for a frame or two and see each step run on to the tile's edge."""
        for _ in range(self._integer(2, 5)):
            yield from self._hold(self._direction(), self._integer(1, 2))
            yield from self._hold(NONE, self._integer(3, 9))

    def _direction(self) -> int:
        return ACTION_OF[FACINGS[self._integer(0, 3)]]

    def _stand(self) -> Iterator[int]:
        yield from self._hold(NONE, self._integer(4, 20))

    def _rush(self) -> Iterator[int]:
        """Hold one direction, whatever is in the way."""
        yield from self._hold(self._direction(), self._integer(8, 30))

    def _mash(self) -> Iterator[int]:
        """All keys, in no order."""
        for _ in range(self._integer(4, 10)):
            action = self._integer(0, len(ACTION_NAMES) - 1)
            if action in (A, B, START) and self._is_lucky(0.5):
                action = self._direction()
            yield from self._hold(action, self._integer(1, 6))

    def _talk(self) -> Iterator[int]:
        """Go to somebody, speak, be answered, and end it; now and then press keys meanwhile."""
        talkers = self._area.talkers
        talker = talkers[self._integer(0, len(talkers) - 1)]
        sides: list[Facing] = [
            facing for facing in FACINGS if self._area.is_free(_before(talker.x, talker.y, facing))
        ]
        facing = sides[self._integer(0, len(sides) - 1)]
        goal = _before(talker.x, talker.y, facing)
        yield from self._walk_to(goal)
        if self._now.tile != goal:
            return
        if self._now.facing != facing or self._is_lucky(0.3):
            yield from self._hold(ACTION_OF[facing], self._integer(1, 3))
        yield from self._hold(A, self._integer(1, 3))
        for _ in range(self._integer(1, 3)):
            yield from self._hold(self._direction() if self._is_lucky(0.4) else NONE, self._integer(2, 7))

    def _through_a_door(self) -> Iterator[int]:
        """Go in where one has been least, or out."""
        doors = list(self._area.doors)
        door = min(doors, key=lambda tile: (self.books.entered[tile], self._rng.random()))
        if self._now.area == 0:
            self.books.entered[door] += 1
        yield from self._walk_to(door)
        held = self._now.last_action if self._is_lucky(0.5) else NONE
        yield from self._hold(held, self._integer(2, 9))

    # Walking

    def _walk_to(self, goal: Tile) -> Iterator[int]:
        """Walk along a shortest path; gives up if something unforeseen happens."""
        start_area = self._now.area
        path = path_to(self._area, self._now.tile, goal, self._rng)
        for facing, following in zip(path, [*path, None][1:], strict=True):
            if self._now.area != start_area or not self._now.is_at_rest:
                return
            yield from self._step(ACTION_OF[facing], ACTION_OF[following] if following else NONE)

    def _step(self, action: int, following: int) -> Iterator[int]:
        """One step, and keys as people press them: held, changed a little early, or let go."""
        style = self._rng.random()
        yield action
        if not self._now.is_at_rest and style > 0.97:
            yield from self._hold(NONE, self._integer(4, 8))
            return
        while self._now.offset:
            is_late = self._now.offset >= 8
            if is_late and style < 0.2:
                yield following
            elif is_late and style < 0.27:
                yield NONE
            else:
                yield action


def _before(x: int, y: int, facing: Facing) -> Tile:
    """The tile from which one looks at this one, facing so."""
    dx, dy = next_tile((0, 0), facing)
    return x - dx, y - dy


def _areas(world: World) -> range:
    return range(len(world.areas))


def _blocked_sides(world: World, tiles: list[tuple[int, int, int]]) -> list[Edge]:
    """Every blocked side of these tiles."""
    return [
        (area, x, y, facing)
        for area, x, y in tiles
        for facing in FACINGS
        if not world.areas[area].is_free(next_tile((x, y), facing))
    ]
