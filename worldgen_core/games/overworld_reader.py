"""Finds the player in a recorded frame, the game's or a dream's, and where in a world the frame is.

The upper two thirds of the player (cap, face, shoulders; nobody can hide them) are compared with the frame at
every place, by the mean squared error over the pixels that they cover fully, sharp and somewhat blurred. The
player counts as found if the best place is good enough and no second place elsewhere is nearly as good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from worldgen_core.games.base import Facing, Frame, TileState, TrueTileState
from worldgen_core.games.overworld_map import FACINGS, World
from worldgen_core.games.overworld_people import PERSON_HEIGHT, person
from worldgen_core.games.overworld_pixels import TILE
from worldgen_core.games.overworld_render import NATIVE_HEIGHT, NATIVE_WIDTH, painted

SCALE = 2
"""Native pixels a recorded pixel."""
MAX_ERROR = 30.0
"""Root mean squared error, in grey levels, up to which something is the player."""
MIN_GHOST_RATIO = 1.25
"""By how much a second player elsewhere must be worse than the best, or nobody is found."""
_ROWS = 8
"""Rows of the shrunken sprite that are compared."""
_GHOST_DISTANCE = 6
_BLURS = (0.0, 0.9)


class _Bank(NamedTuple):
    """Templates, one a column: their pixels' weights, weighted colours and what those amount to."""

    facings: tuple[Facing, ...]
    weight: Float32[np.ndarray, "p n"]
    colour: Float32[np.ndarray, "p n"]
    energy: Float32[np.ndarray, " n"]


@cache
def _bank() -> _Bank:
    pairs = [(facing, *_template(facing, blur)) for facing in FACINGS for blur in _BLURS]
    facings, colours, weights = zip(*pairs, strict=True)
    weight = np.stack([own.ravel() / own.sum() for own in weights], axis=1)
    colour = np.stack([own.ravel() for own in colours], axis=1)
    return _Bank(facings, weight, weight * colour, (weight * colour**2).sum(axis=0))


def _template(
    facing: Facing, blur: float
) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w 3"]]:
    """Colours of the shrunken sprite, and weights: the pixels that it covers fully."""
    sprite = person(None, facing, 0)
    share = sprite.is_opaque.astype(np.float32)
    colour = sprite.pixels.astype(np.float32) * share[..., None]
    small_share, small_colour = (
        cv2.resize(image, None, fx=1 / SCALE, fy=1 / SCALE, interpolation=cv2.INTER_AREA)
        for image in (share, colour)
    )
    weight = (small_share > 0.99).astype(np.float32)
    if blur:
        small_share = cv2.GaussianBlur(small_share, (0, 0), blur)
        small_colour = cv2.GaussianBlur(small_colour, (0, 0), blur)
    own = small_colour / np.maximum(small_share, 1e-3)[..., None]
    return own[:_ROWS], np.repeat(weight[:_ROWS, :, None], 3, axis=2)


def read_state(frame: UInt8[np.ndarray, "h w 3"]) -> TileState:
    """What a frame of 80 rows of 120 pixels shows of the player; native pixels."""
    errors = _errors(frame)
    row, column, best = np.unravel_index(int(errors.argmin()), errors.shape)
    error = float(errors[row, column, best])
    elsewhere = errors.min(axis=2)
    near = np.s_[
        max(row - _GHOST_DISTANCE, 0) : row + _GHOST_DISTANCE + 1,
        max(column - _GHOST_DISTANCE, 0) : column + _GHOST_DISTANCE + 1,
    ]
    elsewhere[near] = np.inf
    if error > MAX_ERROR or elsewhere.min() < MIN_GHOST_RATIO * error:
        return TileState(False, float("nan"), float("nan"), None)
    top = int(row) * SCALE + PERSON_HEIGHT - TILE
    return TileState(True, float(int(column) * SCALE), float(top), _bank().facings[int(best)])


def _errors(frame: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "y x n"]:
    """Root mean squared error of every template with its upper left corner at each place.

    With weights w that sum to one, the mean of w*(f - c)^2 is that of w*f^2 - 2*w*f*c + w*c^2: two products
    of matrices, whose rows are the frame's windows.
    """
    bank = _bank()
    windows = sliding_window_view(frame, (_ROWS, TILE // SCALE, 3))[:, :, 0]
    height, width = windows.shape[:2]
    flat = windows.reshape(height * width, -1).astype(np.float32)
    squares = np.square(flat) @ bank.weight - 2 * (flat @ bank.colour) + bank.energy
    return np.sqrt(np.maximum(squares, 0)).reshape(height, width, -1)


class View(NamedTuple):
    """Which part of which area a frame shows: camera in native pixels, and how well it fits (grey levels)."""

    map_id: int
    camera_x: int
    camera_y: int
    error: float


def find_view(frame: UInt8[np.ndarray, "80 120 3"], world: World) -> View:
    """Where in a world a frame was taken, by comparing it with every part of every painted area."""
    pixels = frame.astype(np.float32)
    views = [_best_view(pixels, world, index) for index in range(len(world.areas))]
    return min(views, key=lambda view: view.error)


def _best_view(pixels: Float32[np.ndarray, "h w 3"], world: World, index: int) -> View:
    area = world.areas[index]
    squares = cv2.matchTemplate(_small_area(world, index), pixels, cv2.TM_SQDIFF)
    row, column = np.unravel_index(int(squares.argmin()), squares.shape)
    error = float(np.sqrt(max(float(squares[row, column]), 0.0) / pixels.size))
    margin_x = max(NATIVE_WIDTH - area.num_columns * TILE, 0) // 2
    margin_y = max(NATIVE_HEIGHT - area.num_rows * TILE, 0) // 2
    return View(index, int(column) * SCALE - margin_x, int(row) * SCALE - margin_y, error)


@lru_cache(maxsize=32)
def _small_area(world: World, index: int) -> Float32[np.ndarray, "h w 3"]:
    surface = painted(world, index)
    small = cv2.resize(surface, None, fx=1 / SCALE, fy=1 / SCALE, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


@dataclass(frozen=True)
class ReaderError:
    """How well frames were read whose true states are known.

    `found_share` of the frames that show the player; `position_error` is the mean distance in native pixels
    where found, `exact_share` the part of those at the very place, `facing_share` the part that faces right.
    """

    num_frames: int
    found_share: float
    position_error: float
    exact_share: float
    facing_share: float


def measure_reader(pairs: Iterable[tuple[Frame, TrueTileState]]) -> ReaderError:
    """Read frames and compare with their true states; frames in which nobody is to be seen do not count."""
    rows = [(read_state(frame), truth) for frame, truth in pairs if truth.found]
    found = [(state, truth) for state, truth in rows if state.found]
    distances = np.array([np.hypot(state.x - truth.x, state.y - truth.y) for state, truth in found])
    facings = [state.facing == truth.facing for state, truth in found]
    return ReaderError(
        num_frames=len(rows),
        found_share=len(found) / max(len(rows), 1),
        position_error=float(distances.mean()) if len(found) else float("nan"),
        exact_share=float((distances == 0).mean()) if len(found) else float("nan"),
        facing_share=float(np.mean(facings)) if len(found) else float("nan"),
    )
