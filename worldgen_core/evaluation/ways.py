"""What a recording shows of the ground: over which edges between tiles the player walked, and which it met.

A way is a tile and a direction. It is open where the player was seen to walk it, there or back, and blocked
where the player rested although the key was held for longer than motion needs to begin. What was seen as
both (somebody stood in the way, a dialog was open) is neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from worldgen_core.evaluation.tracked import Tracked
from worldgen_core.tracking.presses import MAX_LATENCY
from worldgen_core.tracking.settings import FACINGS, STEPS, Facing, TrackingSettings

MIN_HELD = MAX_LATENCY + 1
"""Frames at rest under a held key from which the way counts as blocked."""


SLACK_PX = 1
"""Pixels by which a resting player may seem off: the reader's doubt."""


class Way(NamedTuple):
    """An edge of a tile: scene, row and column of the tile, and which way it is left."""

    scene: int
    row: int
    column: int
    facing: Facing


class Held(NamedTuple):
    """A key held against something: frames `first` to `stop` - 1 rest under it."""

    first: int
    stop: int
    facing: Facing


@dataclass(frozen=True)
class Ways:
    """What one episode shows."""

    tile: Int64[np.ndarray, "t 2"]
    """(row, column) of the player's tile within its scene; means something only on an edge."""
    is_on_edge: Bool[np.ndarray, " t"]
    """Where the player is found on a tile and not between two."""
    is_open: frozenset[Way]
    is_blocked: frozenset[Way]
    held: tuple[Held, ...]
    """The keys held against something, in order."""


def find_ways(
    tracked: Tracked,
    action: Int64[np.ndarray, " t"],
    facings: list[Facing | None],
    settings: TrackingSettings,
) -> Ways:
    """Survey an episode; `facings` says which way each action walks, if any."""
    scene, tile_px = tracked.scene, settings.tile_px
    phase = _phases(tracked, tile_px)
    tile = np.rint((tracked.position - phase) / tile_px).astype(np.int64)
    is_on_edge = tracked.is_found & (phase >= 0).all(axis=1)
    is_on_edge &= off_edge(tracked.position - phase, tile_px) <= SLACK_PX
    held = tuple(_held(tracked, action, facings))
    is_open = set(_walked(tracked, scene, tile, is_on_edge))
    is_blocked = {way_from(scene, tile, run.first, run.facing) for run in held if is_on_edge[run.first]}
    return Ways(tile, is_on_edge, frozenset(is_open - is_blocked), frozenset(is_blocked - is_open), held)


def way_from(
    scene: Int64[np.ndarray, " t"], tile: Int64[np.ndarray, "t 2"], index: int, facing: Facing
) -> Way:
    """The way from where the player is in one frame."""
    return Way(int(scene[index]), int(tile[index, 0]), int(tile[index, 1]), facing)


def _phases(tracked: Tracked, tile_px: int) -> Int64[np.ndarray, "t 2"]:
    """Where in its tile a resting player stands, by scene; -1 where nobody rests."""
    scene, rest = tracked.scene, tracked.world.rest_frames()
    phases = np.full((len(scene), 2), -1, np.int64)
    for number in np.unique(scene):
        resting = np.flatnonzero((scene == number) & (rest >= 2))
        counts = Counter(map(tuple, (tracked.position[resting] % tile_px).tolist()))
        if counts:
            phases[scene == number] = counts.most_common(1)[0][0]
    return phases


def _walked(
    tracked: Tracked,
    scene: Int64[np.ndarray, " t"],
    tile: Int64[np.ndarray, "t 2"],
    is_on_edge: Bool[np.ndarray, " t"],
) -> Iterator[Way]:
    """Every way walked, there and back."""
    last: int | None = None
    for index in range(len(scene)):
        if not tracked.world.is_known[index]:
            last = None
        if not is_on_edge[index]:
            continue
        if last is not None:
            step = tuple((tile[index] - tile[last]).tolist())
            for facing in FACINGS:
                if STEPS[facing] == step:
                    yield way_from(scene, tile, last, facing)
                    yield way_from(scene, tile, index, opposite(facing))
        last = index


def _held(tracked: Tracked, action: Int64[np.ndarray, " t"], facings: list[Facing | None]) -> Iterator[Held]:
    """Runs of rest under one walking key; `action[t - 1]` is what frame t shows first."""
    is_resting = tracked.world.is_resting
    first = 1
    while first < len(action):
        stop = first
        while stop < len(action) and is_resting[stop] and action[stop - 1] == action[first - 1]:
            stop += 1
        facing = facings[int(action[first - 1])]
        if facing is not None and stop - first >= MIN_HELD:
            yield Held(first, stop, facing)
        first = max(stop, first + 1)


def off_edge(distance: Int64[np.ndarray, "t 2"], tile_px: int) -> Int64[np.ndarray, " t"]:
    """Pixels that a distance from a tile's corner is off the nearest one, along the worse axis."""
    beyond = distance % tile_px
    return np.minimum(beyond, tile_px - beyond).max(axis=1)


def opposite(facing: Facing) -> Facing:
    """The way back."""
    dy, dx = STEPS[facing]
    return next(other for other in FACINGS if STEPS[other] == (-dy, -dx))
