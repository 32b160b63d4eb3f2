"""Takes a recorded frame for what it shows: a game of the overworld that stands just there.

Frames of a dream are read in the same way, so that what a dream shows can be compared with the true game.
"""

from __future__ import annotations

from functools import lru_cache

from worldgen_core.games.base import Facing, Frame
from worldgen_core.games.overworld_map import World, next_tile
from worldgen_core.games.overworld_pixels import TILE
from worldgen_core.games.overworld_reader import find_view, read_state
from worldgen_core.games.overworld_simulator import SPEED, OverworldSimulator, Situation
from worldgen_core.games.overworld_town import make_world


def locate(frame: Frame, world_seed: int) -> OverworldSimulator | None:
    """A game in the world of that seed which stands as a frame of 80 rows of 120 pixels shows.

    None where no player is found. What one frame cannot show is taken to be at its beginning: nothing is
    pressed, nobody speaks. Cost: a few dozen milliseconds.
    """
    state = read_state(frame)
    if state.facing is None:
        return None
    world = _world(world_seed)
    view = find_view(frame, world)
    x, y = view.camera_x + round(state.x), view.camera_y + round(state.y)
    return OverworldSimulator(world, _standing(world, view.map_id, x, y, state.facing))


def _standing(world: World, area: int, x: int, y: int, facing: Facing) -> Situation:
    """The situation of a player whose square's left top pixel on the map is (x, y)."""
    dx, dy = next_tile((0, 0), facing)
    offset = (dx * x + dy * y) % TILE // SPEED * SPEED
    tile = round((x - dx * offset) / TILE), round((y - dy * offset) / TILE)
    columns, rows = world.areas[area].num_columns, world.areas[area].num_rows
    return Situation(area, min(max(tile[0], 0), columns - 1), min(max(tile[1], 0), rows - 1), facing, offset)


@lru_cache(maxsize=4)
def _world(seed: int) -> World:
    return make_world(seed)
