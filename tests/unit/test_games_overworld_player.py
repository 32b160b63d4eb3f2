"""The scripted player shows what there is: everywhere, walls included; and the same again from its seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from worldgen_core.games.overworld_map import FACINGS, World, next_tile
from worldgen_core.games.overworld_paths import path_to
from worldgen_core.games.overworld_player import Books, ScriptedPlayer
from worldgen_core.games.overworld_simulator import (
    ACTION_NAMES,
    FACING_OF,
    NONE,
    OverworldSimulator,
    Situation,
    start_of,
)
from worldgen_core.games.overworld_town import make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(0)


@pytest.fixture(scope="module")
def recording(world: World) -> tuple[list[tuple[Situation, int]], Books]:
    """Three players one after the other, 5,600 frames each at 15 frames a second."""
    books, moments = Books(), []
    for seed in range(3):
        moments += recorded(world, seed, 5600, books)
    return moments, books


def recorded(world: World, seed: int, num_frames: int, books: Books) -> list[tuple[Situation, int]]:
    simulator = OverworldSimulator(world, start_of(world, seed))
    player = ScriptedPlayer(world, seed, books=books)
    moments = []
    for _ in range(num_frames):
        moments.append((simulator.situation, player.act(simulator.situation)))
        simulator.advance(moments[-1][1])
    return moments


def test_the_same_seed_plays_the_same_again(world: World):
    assert recorded(world, 4, 400, Books()) == recorded(world, 4, 400, Books())
    assert recorded(world, 4, 400, Books()) != recorded(world, 5, 400, Books())


def test_the_whole_world_is_walked_and_most_walls_are_tried(world: World, recording):
    _, books = recording
    tiles = world.free_tiles()
    assert np.mean([books.visits[tile] > 0 for tile in tiles]) >= 0.98
    sides = [
        (area, x, y, facing)
        for area, x, y in tiles
        for facing in FACINGS
        if not world.areas[area].is_free(next_tile((x, y), facing))
    ]
    assert np.mean([books.bumps[side] > 0 for side in sides]) >= 0.9


def test_enough_presses_are_blocked_and_not_too_many(world: World, recording):
    moments, _ = recording
    presses, blocked, last = 0, 0, NONE
    for situation, action in moments:
        if action in FACING_OF and action != last:
            presses += 1
            ahead = next_tile(situation.tile, FACING_OF[action])
            blocked += situation.is_at_rest and not world.areas[situation.area].is_free(ahead)
        last = action
    assert 0.1 < blocked / presses < 0.5


def test_everything_happens(recording):
    moments, _ = recording
    shares = {
        name: np.mean([action == index for _, action in moments]) for index, name in enumerate(ACTION_NAMES)
    }
    assert min(shares.values()) > 0.001
    assert min(shares[name] for name in ("up", "down", "left", "right")) > 0.1
    assert Counter(situation.area for situation, _ in moments).keys() == {0, 1, 2, 3}
    assert 0.005 < np.mean([situation.is_talking for situation, _ in moments]) < 0.1
    assert 0.005 < np.mean([situation.fade > 0 for situation, _ in moments]) < 0.1


def test_it_never_rests_for_long(recording):
    """Longer rests would look like a frozen recording."""
    moments, _ = recording
    longest = run = 0
    for (before, _), (after, _) in pairwise(moments):
        is_still = (before.tile, before.offset, before.facing, before.fade, before.is_talking) == (
            (after.tile, after.offset, after.facing, after.fade, after.is_talking)
        )
        run = run + 1 if is_still else 0
        longest = max(longest, run)
    assert longest < 60


def test_paths_are_shortest_and_none_where_there_is_no_way(world: World):
    rng = np.random.default_rng(0)
    area = world.areas[0]
    start, goal = (3, 9), (20, 18)
    tile = start
    path = path_to(area, start, goal, rng)
    for facing in path:
        tile = next_tile(tile, facing)
        assert area.is_free(tile)
        assert tile == goal or tile not in area.doors
    assert tile == goal
    assert len(path) >= abs(goal[0] - start[0]) + abs(goal[1] - start[1])
    assert path_to(area, start, (0, 0), rng) == []
