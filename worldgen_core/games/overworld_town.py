"""Lays out a town: streets, houses, a pond, a garden, a grove, people; and with its rooms a whole world.

The town is three lots wide and two deep between two streets, with trees all around; the seed says which lot
is what, and everything in it. Every free tile can be walked to.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from worldgen_core.games.overworld_houses import HOUSE_ROWS
from worldgen_core.games.overworld_map import FACINGS, WATER, Area, Place, Plan, Talker, Thing, World
from worldgen_core.games.overworld_people import NUM_LOOKS
from worldgen_core.games.overworld_rooms import ROOM_EXIT, lay_out_room
from worldgen_core.seeds import derive_seed

NUM_COLUMNS, NUM_ROWS = 28, 24
NUM_HOUSES = 3
NUM_TOWN_PEOPLE = 4
_STREET_ROWS = (9, 18)
_ALLEY_COLUMNS = (9, 17)
_LOTS = tuple((x, y, width) for y in (2, 11) for x, width in ((2, 7), (11, 6), (19, 7)))
"""Left column, top row, columns; every lot is seven rows deep."""
_LOT_ROWS = 7

_GREETINGS = (
    "HELLO! WHAT A\nLOVELY DAY.",
    "THE POND IS FULL\nOF TINY FISH.",
    "I COUNT FLOWERS.\nSEVEN SO FAR!",
    "MIND THE PUDDLES\nNEAR THE WATER.",
    "HAVE YOU SEEN MY\nCAT ANYWHERE?",
    "SOUP IS READY AT\nHOME. COME BY!",
    "TREES GROW SLOWLY.\nSO DO I.",
)
_SIGN_TEXT = "WELCOME TO OUR\nLITTLE TOWN!"


@lru_cache(maxsize=8)
def make_world(seed: int) -> World:
    """The world of a seed: its town and the rooms of its three houses."""
    town, entrances = _lay_out_town(seed)
    rooms = [
        lay_out_room(np.random.default_rng(derive_seed(seed, "room", i)), i + 1, i, outside)
        for i, outside in enumerate(entrances)
    ]
    return World(seed, (town, *rooms))


def _lay_out_town(seed: int) -> tuple[Area, list[Place]]:
    rng = np.random.default_rng(derive_seed(seed, "town"))
    plan = Plan(rng, NUM_COLUMNS, NUM_ROWS)
    _border(plan)
    for row in _STREET_ROWS:
        plan.pave(2, row, NUM_COLUMNS - 4, 2)
    for column in _ALLEY_COLUMNS:
        plan.pave(column, _STREET_ROWS[0], 2, _STREET_ROWS[1] - _STREET_ROWS[0] + 2)
    entrances: list[Place] = []
    kinds = ["house"] * NUM_HOUSES + ["pond", "garden", "grove"]
    for kind, lot in zip(rng.permutation(kinds).tolist(), _LOTS, strict=True):
        if kind == "house":
            entrances.append(_house(plan, lot, len(entrances)))
        elif kind == "pond":
            _pond(plan, lot)
        elif kind == "garden":
            _garden(plan, lot)
        else:
            _grove(plan, lot)
    _sprinkle(plan)
    _people(plan)
    _close_pockets(plan)
    return plan.finish("town", 0), entrances


def _border(plan: Plan) -> None:
    """Two rings of trees; no tree is cut by another."""
    for x in range(0, plan.num_columns, 2):
        for y in (1, plan.num_rows - 1):
            plan.put(Thing("big_tree", x, y), width=2, height=2)
    for y in range(3, plan.num_rows - 2, 2):
        for x in (0, plan.num_columns - 2):
            plan.put(Thing("big_tree", x, y), width=2, height=2)


def _house(plan: Plan, lot: tuple[int, int, int], index: int) -> Place:
    """A house with its door, a path to the street and a front yard; returns where one comes out."""
    left, top, columns = lot
    width = min(plan.choose(5, 6), columns - 1)
    x = left + plan.choose(*range(columns - width + 1))
    bottom = top + HOUSE_ROWS - 1 + plan.choose(0, 1)
    door = plan.choose(*range(1, width - 1))
    plan.put(Thing("house", x, bottom, index, width, door), width=width, height=HOUSE_ROWS)
    plan.is_blocked[bottom, x + door] = False
    plan.doors[x + door, bottom] = Place(index + 1, *ROOM_EXIT, "up")
    plan.pave(x + door, bottom + 1, 1, top + _LOT_ROWS - bottom - 1)
    for column in (x, x + width - 1):
        if abs(column - x - door) > 1:
            plan.put(Thing("flower_pot", column, bottom + 1, plan.choose(0, 1, 2, 3)))
    if bottom + 2 < top + _LOT_ROWS:
        fence_row = top + _LOT_ROWS - 1
        for column in range(x, x + width):
            if abs(column - x - door) > 1 and plan.rng.random() < 0.8:
                plan.put(Thing("fence", column, fence_row))
    return Place(0, x + door, bottom + 1, "down")


def _pond(plan: Plan, lot: tuple[int, int, int]) -> None:
    left, top, columns = lot
    width, height = columns - 2, plan.choose(4, 5)
    x, y = left + 1, top + 1
    water = np.ones((height, width), bool)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        water[row, column] = plan.rng.random() < 0.4
    box = plan.box(x, y, width, height)
    plan.ground[box][water] = WATER
    plan.is_blocked[box] |= water
    plan.is_taken[plan.box(left, top, columns, height + 2)] = True
    for _ in range(3):
        column = left + int(plan.rng.integers(columns))
        plan.put(Thing(("rock", "flowers")[plan.choose(0, 1)], column, top), is_solid=False)
    for thing in plan.things[-3:]:
        plan.is_blocked[thing.y, thing.x] = thing.kind == "rock"


def _garden(plan: Plan, lot: tuple[int, int, int]) -> None:
    """Beds of flowers with ways between them, a fence to the street, and a sign."""
    left, top, columns = lot
    for row in (1, 2, 4):
        for column in range(1, columns - 1):
            if column != columns // 2:
                thing = Thing("flowers", left + column, top + row, (row + plan.choose(0, 1)) % 4)
                plan.put(thing, is_solid=False)
    gap = plan.choose(1, 2, 3)
    for column in range(columns):
        if column not in (gap, gap + 1) and column != columns - 1:
            plan.put(Thing("fence", left + column, top + 5))
    for column in (0, columns - 1):
        plan.put(Thing("bush", left + column, top), is_solid=True)
    plan.talker(Talker(left + columns - 1, top + 6, _SIGN_TEXT))
    plan.things.append(Thing("sign", left + columns - 1, top + 6))


def _grove(plan: Plan, lot: tuple[int, int, int]) -> None:
    left, top, columns = lot
    for row in (1, 3, 5):
        for column in range(row // 2 % 2, columns, 2):
            chance = plan.rng.random()
            if chance < 0.6:
                plan.put(Thing("pine", left + column, top + row), height=2)
            elif chance < 0.8:
                plan.put(Thing("bush", left + column, top + row))
    for row in range(_LOT_ROWS):
        for column in range(columns):
            if not plan.is_taken[top + row, left + column] and plan.rng.random() < 0.6:
                plan.put(Thing("tall_grass", left + column, top + row), is_solid=False)


def _sprinkle(plan: Plan) -> None:
    """A few plants and stones on free grass, away from the streets."""
    kinds = (("flowers", 0.14), ("tall_grass", 0.12), ("bush", 0.05), ("rock", 0.03), ("flower_pot", 0.0))
    for y in range(2, plan.num_rows - 2):
        for x in range(2, plan.num_columns - 2):
            chance = plan.rng.random()
            if plan.is_taken[y, x]:
                continue
            for kind, share in kinds:
                if chance < share:
                    solid = kind in ("bush", "rock")
                    plan.put(Thing(kind, x, y, plan.choose(0, 1, 2, 3)), is_solid=solid)
                    break
                chance -= share


def _people(plan: Plan) -> None:
    """People on open ground: all four sides of them are free, and nobody stands at a door."""
    texts = plan.rng.permutation(_GREETINGS).tolist()
    looks = plan.rng.permutation(NUM_LOOKS).tolist()
    free = ~plan.is_blocked
    for i in range(NUM_TOWN_PEOPLE):
        inner = free[1:-1, 1:-1] & free[:-2, 1:-1] & free[2:, 1:-1] & free[1:-1, :-2] & free[1:-1, 2:]
        spots = np.argwhere(inner) + 1
        y, x = spots[int(plan.rng.integers(len(spots)))].tolist()
        facing = FACINGS[plan.choose(1, 1, 2, 3)]
        plan.talker(Talker(x, y, texts[i], looks[i], facing))
        free = ~plan.is_blocked
        free[max(y - 4, 0) : y + 5, max(x - 5, 0) : x + 6] = False


def _close_pockets(plan: Plan) -> None:
    """A bush grows on every free tile that nobody can walk to."""
    reached = plan.reached_from((2, _STREET_ROWS[0]))
    for y, x in np.argwhere(~plan.is_blocked & ~reached).tolist():
        assert (x, y) not in plan.doors, "a door must be reached from the street"
        plan.put(Thing("bush", x, y))
