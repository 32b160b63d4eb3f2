"""Reads bird and openings from a Flappy Bird frame: the true game's, or a dream's with its blur and ghosts.

Pipes first: their columns show against the sky at the top of the picture, where no hole reaches, and the share of
pipe colour in each row gives the hole's edges below the size of a pixel. Then the bird: the picture without it is
drawn from what was read, and the sprite in every rotation, wing phase and quarter of a row is fitted to the
difference (least squares, so an edge pixel counts by how much of it the sprite covers). The bird counts as found if
the best fit explains enough of a bird, and if nothing bird-like is left elsewhere in its columns: two faint birds
are no bird.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from worldgen_core.games.base import Opening, State
from worldgen_core.games.flappy_render import (
    BIRD_X,
    GROUND_TOP,
    MAX_VISIBLE_ROTATION,
    NATIVE_WIDTH,
    PIPE_WIDTH,
    SCALE,
    WIDTH,
    PipePair,
    backdrop,
    bird_sprite,
    render_without_bird,
)

MIN_QUALITY = 0.4
"""How much of a full bird the best fit must explain: 1 is a perfect bird, 0 one of half its contrast."""
MAX_GHOST = 0.4
"""The strongest second bird, as a share of a full one, beside which the first still counts as the only one."""

_GROUND_ROW = GROUND_TOP // SCALE
_SKY_ROWS = slice(1, 24)
_HOLE_ROWS = 76
_MIN_PIPE_COLUMNS = 2
_MIN_HOLE_ROWS = 6
_PIPE_CONTRAST = 60.0
_STRIP_ROW, _STRIP_REACH = 50, 16
_PATCH = 11
_FIRST_ROW = -8
_BIRD_COLUMNS = slice(BIRD_X // SCALE, BIRD_X // SCALE + _PATCH)
_GHOST_DISTANCE = 7


# Pipes


@cache
def _pipe_rows() -> Float32[np.ndarray, "x w 3"]:
    """One row of the picture for every place of a pipe, from just out of sight on the left onwards."""
    places = range(-PIPE_WIDTH + 1, NATIVE_WIDTH)
    rows = [render_without_bird(0, (PipePair(x, 160, 260),))[4] for x in places]
    return np.stack(rows).astype(np.float32)


def _pipe_place(profile: Float32[np.ndarray, "w 3"], first: int, last: int) -> int:
    """Left edge of the pipe whose columns are first to last: the place whose picture is closest."""
    guess = first * SCALE if first > 0 else (last + 1) * SCALE - PIPE_WIDTH
    low = max(guess - SCALE, -PIPE_WIDTH + 1)
    high = min(guess + SCALE + 1, NATIVE_WIDTH)
    columns = slice(max(first - 1, 0), last + 2)
    rows = _pipe_rows()[low + PIPE_WIDTH - 1 : high + PIPE_WIDTH - 1, columns]
    return low + int(((rows - profile[columns]) ** 2).sum((1, 2)).argmin())


def _find_pipes(pixels: Float32[np.ndarray, "h w 3"]) -> list[int]:
    """Left edges of the pipes in sight, from left to right."""
    profile = pixels[_SKY_ROWS].mean(0)
    profile[_BIRD_COLUMNS] = np.median(pixels[_SKY_ROWS, _BIRD_COLUMNS], axis=0)
    contrast = np.abs(profile - backdrop(0)[_SKY_ROWS.start]).sum(-1)
    is_pipe = np.concatenate([[False], contrast > _PIPE_CONTRAST, [False]])
    edges = np.flatnonzero(is_pipe[1:] != is_pipe[:-1]).reshape(-1, 2)
    return [
        _pipe_place(profile, int(first), int(end) - 1)
        for first, end in edges
        if end - first >= _MIN_PIPE_COLUMNS
    ]


def _find_hole(pixels: Float32[np.ndarray, "h w 3"], x: int) -> Opening | None:
    """The hole of the pipes at x, or None where they have none."""
    columns = np.arange(max(x // SCALE, 0), min((x + PIPE_WIDTH - 1) // SCALE + 1, WIDTH))
    beside_bird = columns[(columns < _BIRD_COLUMNS.start) | (columns >= _BIRD_COLUMNS.stop)]
    columns = beside_bird if len(beside_bird) >= _MIN_PIPE_COLUMNS else columns
    sky = backdrop(0)[:_HOLE_ROWS, columns].astype(np.float32)
    pipe = _pipe_rows()[x + PIPE_WIDTH - 1, columns] - sky
    shares = ((pixels[:_HOLE_ROWS, columns] - sky) * pipe).sum((1, 2)) / (pipe**2).sum((1, 2))
    is_open = np.concatenate([[False], shares < 0.5, [False]])
    runs = np.flatnonzero(is_open[1:] != is_open[:-1]).reshape(-1, 2)
    if not len(runs) or (runs[:, 1] - runs[:, 0]).max() < _MIN_HOLE_ROWS:
        return None
    first, end = runs[(runs[:, 1] - runs[:, 0]).argmax()]
    upper, lower = _edge_strips()
    top = _edge_height(pixels, upper, x, columns, SCALE * int(first))
    return Opening(float(x), top, _edge_height(pixels, lower, x, columns, SCALE * int(end)))


@cache
def _edge_strips() -> tuple[Float32[np.ndarray, "4 4 r c 3"], Float32[np.ndarray, "4 4 r c 3"]]:
    """Pictures of the upper and the lower pipe's end, for each quarter of a column and of a row."""
    around = np.s_[_STRIP_ROW - _STRIP_REACH : _STRIP_ROW + _STRIP_REACH, 25:39]
    x, y = 25 * SCALE, _STRIP_ROW * SCALE
    upper = [[PipePair(x + i, y + j, GROUND_TOP) for j in range(SCALE)] for i in range(SCALE)]
    lower = [[PipePair(x + i, 0, y + j) for j in range(SCALE)] for i in range(SCALE)]
    return _strips(upper, around), _strips(lower, around)


def _strips(pipes: list[list[PipePair]], around: tuple[slice, slice]) -> Float32[np.ndarray, "4 4 r c 3"]:
    pictures = [[render_without_bird(0, (pipe,))[around] for pipe in row] for row in pipes]
    return np.array(pictures, np.float32)


def _edge_height(
    pixels: Float32[np.ndarray, "h w 3"],
    strips: Float32[np.ndarray, "4 4 r c 3"],
    x: int,
    columns: Int64[np.ndarray, " c"],
    guess: int,
) -> float:
    """Height of a pipe's end near a guess: the place whose picture is closest, between the pixels."""
    rows = np.arange(max(guess // SCALE - 5, 0), guess // SCALE + 5)
    places = np.arange(guess - 2 * SCALE, guess + 2 * SCALE + 1)
    strip_rows = rows - (places // SCALE)[:, None] + _STRIP_REACH
    phases = places[:, None, None] % SCALE
    pictures = strips[x % SCALE, phases, strip_rows[..., None], columns - x // SCALE]
    window = pixels[rows[0] : rows[-1] + 1, columns]
    errors = ((pictures - window) ** 2).sum((1, 2, 3))
    best = int(errors.argmin())
    return float(places[best]) + _subpixel(-errors, best)


def _subpixel(values: Float32[np.ndarray, " y"], best: int) -> float:
    """Offset of a parabola's top from the best of equally spaced values."""
    if not 0 < best < len(values) - 1:
        return 0.0
    left, middle, right = (float(value) for value in values[best - 1 : best + 2])
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0


# The bird


class _Templates(NamedTuple):
    """Birds at all of (rotation, wing, quarter of a row), flattened: covered share, and colour times share."""

    share: Float32[np.ndarray, "n p"]
    colour: Float32[np.ndarray, "n p"]


def _template(rotation: int, wing: int, phase: int) -> tuple[np.ndarray, np.ndarray]:
    sprite = bird_sprite(wing, rotation)
    size = _PATCH * SCALE
    share, colour = np.zeros((size, size, 3), np.float32), np.zeros((size, size, 3), np.float32)
    height, width = sprite.is_opaque.shape
    place = np.s_[phase : phase + height, BIRD_X % SCALE : BIRD_X % SCALE + width]
    share[place] = sprite.is_opaque[..., None]
    colour[place] = sprite.pixels * sprite.is_opaque[..., None]
    cells = (_PATCH, SCALE, _PATCH, SCALE, 3)
    return share.reshape(cells).mean((1, 3)).ravel(), colour.reshape(cells).mean((1, 3)).ravel()


def _make_templates(
    rotations: tuple[int, ...], wings: tuple[int, ...], phases: tuple[int, ...]
) -> _Templates:
    made = [_template(r, w, p) for p in phases for r in rotations for w in wings]
    return _Templates(np.stack([share for share, _ in made]), np.stack([colour for _, colour in made]))


@cache
def _coarse() -> _Templates:
    return _make_templates((MAX_VISIBLE_ROTATION, -30, -90), (1,), (0, 2))


@cache
def _fine() -> _Templates:
    rotations = (MAX_VISIBLE_ROTATION, *range(18, -91, -3))
    return _make_templates(rotations, (0, 1, 2), (0, 1, 2, 3))


class _Fit(NamedTuple):
    """For each row and template: likeness to the difference, and the template's own energy."""

    cross: Float32[np.ndarray, "k n"]
    energy: Float32[np.ndarray, "k n"]


def _fit(templates: _Templates, difference: np.ndarray, scenery: np.ndarray, is_inside: np.ndarray) -> _Fit:
    """Compare what a bird would change (colour - share * scenery) with what differs, all rows at once.

    The three windows have shape (k, p); pixels outside the picture count for nothing.
    """
    share, colour = templates
    cross = difference @ colour.T - (difference * scenery) @ share.T
    energy = is_inside @ (colour**2).T - 2 * scenery @ (share * colour).T + (scenery**2) @ (share**2).T
    return _Fit(cross, energy)


def _windows(columns: Float32[np.ndarray, "r 11 3"]) -> Float32[np.ndarray, "k p"]:
    windows = np.lib.stride_tricks.sliding_window_view(columns, _PATCH, axis=0)
    return windows.transpose(0, 3, 1, 2).reshape(len(windows), -1)


@cache
def _inside_windows() -> Float32[np.ndarray, "k p"]:
    inside = np.zeros((_GROUND_ROW - _FIRST_ROW + _PATCH, _PATCH, 3), np.float32)
    inside[-_FIRST_ROW : _GROUND_ROW - _FIRST_ROW] = 1
    return _windows(inside)


def _padded(columns: Float32[np.ndarray, "r 11 3"]) -> Float32[np.ndarray, "q 11 3"]:
    return np.pad(columns, ((-_FIRST_ROW, _PATCH), (0, 0), (0, 0)))


def find_bird(
    pixels: Float32[np.ndarray, "h w 3"], scenery: UInt8[np.ndarray, "h w 3"]
) -> tuple[float, float, float]:
    """Height, quality and strongest ghost of the bird against a picture without it."""
    behind = scenery[:_GROUND_ROW, _BIRD_COLUMNS].astype(np.float32)
    difference = _windows(_padded(pixels[:_GROUND_ROW, _BIRD_COLUMNS] - behind))
    behind, inside = _windows(_padded(behind)), _inside_windows()
    coarse = _fit(_coarse(), difference, behind, inside)
    gain = (2 * coarse.cross - coarse.energy).max(1)
    row = int(gain.argmax())
    first = max(row - 2, 0)
    near = slice(first, row + 3)
    templates = _fine()
    fine = _fit(templates, difference[near], behind[near], inside[near])
    gains = 2 * fine.cross - fine.energy
    best_row, best = np.unravel_index(gains.argmax(), gains.shape)
    num_phases = SCALE
    num_shapes = len(templates.share) // num_phases
    quality = float(gains[best_row, best] / max(fine.energy[best_row, best], 0.25 * coarse.energy.max()))
    by_height = gains.reshape(len(gains), num_phases, num_shapes)[:, :, best % num_shapes].ravel()
    place = int(best_row) * SCALE + int(best) // num_shapes
    height = (first + _FIRST_ROW) * SCALE + place + _subpixel(by_height, place)
    likeness = (coarse.cross / np.maximum(coarse.energy, 1)).max(1)
    far = np.abs(np.arange(len(likeness)) - (first + int(best_row))) >= _GHOST_DISTANCE
    full = coarse.energy.min(1) > 0.5 * coarse.energy.max()
    ghost = float(likeness[far & full].max(initial=0.0))
    return height, quality, ghost


def read_state(frame: UInt8[np.ndarray, "h w 3"]) -> State:
    """What a frame of 128 rows of 72 pixels shows; heights in native pixels."""
    pixels = frame.astype(np.float32)
    holes = [_find_hole(pixels, x) for x in _find_pipes(pixels)]
    openings = tuple(hole for hole in holes if hole is not None)
    pipes = tuple(PipePair(int(o.x), round(o.top), round(o.bottom)) for o in openings)
    height, quality, ghost = find_bird(pixels, render_without_bird(0, pipes))
    found = quality >= MIN_QUALITY and ghost <= MAX_GHOST
    return State(found, height if found else float("nan"), openings)
