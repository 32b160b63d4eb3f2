"""Lays out the room of a house: a wall at the back, furniture, somebody at home, a doormat to leave by."""

from __future__ import annotations

import numpy as np

from worldgen_core.games.overworld_map import (
    FLOOR,
    VOID,
    WALL,
    Area,
    Place,
    Plan,
    Talker,
    Thing,
)
from worldgen_core.games.overworld_people import NUM_LOOKS

NUM_ROWS = 8
_EXIT_COLUMN = 5
ROOM_EXIT = (_EXIT_COLUMN, NUM_ROWS - 2)
"""Where one stands after coming in, just above the doormat."""
_TEXTS = (
    "MAKE YOURSELF AT\nHOME, PLEASE!",
    "THE KETTLE SINGS\nIN THE EVENING.",
    "SO MANY BOOKS, SO\nLITTLE TIME...",
)


def lay_out_room(rng: np.random.Generator, index: int, style: int, outside: Place) -> Area:
    """The room behind a door; `outside` is where its doormat leads."""
    plan = Plan(rng, plan_columns(style), NUM_ROWS)
    plan.ground[:] = FLOOR
    plan.ground[:2] = WALL
    plan.ground[-1] = VOID
    plan.is_blocked[:2] = plan.is_blocked[-1] = True
    plan.is_blocked[-1, _EXIT_COLUMN] = False
    plan.things.append(Thing("doormat", _EXIT_COLUMN, NUM_ROWS - 1))
    plan.doors[_EXIT_COLUMN, NUM_ROWS - 1] = outside
    _back_wall(plan, style)
    _furniture(plan, style)
    _host(plan, style)
    area = plan.finish(f"house-{index}", style)
    reached = plan.reached_from(ROOM_EXIT)
    assert np.array_equal(reached, ~area.is_blocked), "all of a room can be walked to"
    return area


def plan_columns(style: int) -> int:
    """Rooms differ in size."""
    return (10, 9, 11)[style % 3]


def _back_wall(plan: Plan, style: int) -> None:
    """Shelves and a stove along the wall, a window and a picture on it."""
    columns = plan.num_columns
    for column in (0, 1) if style % 2 == 0 else (columns - 1, columns - 2):
        plan.put(Thing("bookshelf", column, 2), height=2)
    plan.put(Thing("stove", columns - 1 if style % 2 == 0 else 0, 2), height=2)
    plan.things.append(Thing("wall_window", plan.choose(3, 4), 0))
    plan.things.append(Thing("wall_picture", 6, 0, plan.choose(0, 1, 2, 3)))


def _furniture(plan: Plan, style: int) -> None:
    columns = plan.num_columns
    bed_column, plant_column = (columns - 1, 0) if style % 2 == 0 else (0, columns - 1)
    plan.put(Thing("bed", bed_column, 5, style), height=2)
    plan.put(Thing("house_plant", plant_column, NUM_ROWS - 2))
    plan.things.append(Thing("rug", _EXIT_COLUMN - 1, 6, style))
    x, y = plan.choose(2, 3), plan.choose(4, 5) if style != 1 else 4
    if style % 2 == 1:
        x = columns - 1 - x - 1
        y = 3
    plan.put(Thing("table", x, y), width=2)
    plan.put(Thing("stool", x - 1, y))


def _host(plan: Plan, style: int) -> None:
    """Somebody on a free tile away from the doormat, who leaves room to walk around."""
    free = ~plan.is_blocked
    free[-4:, _EXIT_COLUMN - 1 : _EXIT_COLUMN + 2] = False
    spots = np.argwhere(free)
    for y, x in plan.rng.permutation(spots).tolist():
        plan.is_blocked[y, x] = True
        is_fine = np.array_equal(plan.reached_from(ROOM_EXIT), ~plan.is_blocked)
        has_front = y + 1 < NUM_ROWS - 1 and not plan.is_blocked[y + 1, x]
        plan.is_blocked[y, x] = False
        if is_fine and has_front:
            plan.talker(Talker(x, y, _TEXTS[style % len(_TEXTS)], (style * 2 + 1) % NUM_LOOKS))
            return
