"""Shortest ways through an area; among equally short ones, chance decides."""

from __future__ import annotations

from collections import deque

import numpy as np

from worldgen_core.games.base import Facing
from worldgen_core.games.overworld_map import FACINGS, Area, Tile, next_tile


def path_to(area: Area, start: Tile, goal: Tile, rng: np.random.Generator) -> list[Facing]:
    """Directions to press one after the other; empty if there is no way. Leads through no other door."""
    distance = {goal: 0}
    queue = deque([goal])
    while queue and start not in distance:
        tile = queue.popleft()
        for facing in FACINGS:
            neighbour = next_tile(tile, facing)
            is_passage = area.is_free(neighbour) and (neighbour not in area.doors or neighbour == start)
            if is_passage and neighbour not in distance:
                distance[neighbour] = distance[tile] + 1
                queue.append(neighbour)
    path: list[Facing] = []
    tile = start
    while tile != goal and tile in distance:
        closer: list[Facing] = [
            f for f in FACINGS if distance.get(next_tile(tile, f), np.inf) < distance[tile]
        ]
        keeps: list[Facing] = [facing for facing in closer if path and facing == path[-1]]
        options = keeps if keeps and rng.random() < 0.8 else closer
        path.append(options[int(rng.integers(len(options)))])
        tile = next_tile(tile, path[-1])
    return path
