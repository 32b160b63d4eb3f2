"""Finds pipes and their holes in a Flappy Bird frame, finer than the frame's own pixels.

A pipe's columns show against the sky at the top of the picture, where no hole reaches; its place, and the
heights of the two pipe ends, are those whose own picture is closest to the frame.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float32, Int64

from worldgen_core.games.base import Opening
from worldgen_core.games.flappy_render import (
    BIRD_COLUMNS,
    GROUND_TOP,
    NATIVE_WIDTH,
    PIPE_WIDTH,
    SCALE,
    WIDTH,
    PipePair,
    backdrop,
    render_without_bird,
)

_SKY_ROWS = slice(1, 24)
_HOLE_ROWS = 76
_MIN_PIPE_COLUMNS = 2
_MIN_HOLE_ROWS = 6
_PIPE_CONTRAST = 60.0
_STRIP_ROW, _STRIP_REACH = 50, 16


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


def find_pipes(pixels: Float32[np.ndarray, "h w 3"]) -> list[int]:
    """Left edges of the pipes in sight, from left to right."""
    profile = pixels[_SKY_ROWS].mean(0)
    profile[BIRD_COLUMNS] = np.median(pixels[_SKY_ROWS, BIRD_COLUMNS], axis=0)
    contrast = np.abs(profile - backdrop(0)[_SKY_ROWS.start]).sum(-1)
    is_pipe = np.concatenate([[False], contrast > _PIPE_CONTRAST, [False]])
    edges = np.flatnonzero(is_pipe[1:] != is_pipe[:-1]).reshape(-1, 2)
    return [
        _pipe_place(profile, int(first), int(end) - 1)
        for first, end in edges
        if end - first >= _MIN_PIPE_COLUMNS
    ]


def find_hole(pixels: Float32[np.ndarray, "h w 3"], x: int) -> Opening | None:
    """The hole of the pipes at x, or None where they have none."""
    columns = np.arange(max(x // SCALE, 0), min((x + PIPE_WIDTH - 1) // SCALE + 1, WIDTH))
    beside_bird = columns[(columns < BIRD_COLUMNS.start) | (columns >= BIRD_COLUMNS.stop)]
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
def _edge_strips() -> tuple[Float32[np.ndarray, "4 4 r k 3"], Float32[np.ndarray, "4 4 r k 3"]]:
    """Pictures of the upper and the lower pipe's end, for each quarter of a column and of a row."""
    around = np.s_[_STRIP_ROW - _STRIP_REACH : _STRIP_ROW + _STRIP_REACH, 25:39]
    x, y = 25 * SCALE, _STRIP_ROW * SCALE
    upper = [[PipePair(x + i, y + j, GROUND_TOP) for j in range(SCALE)] for i in range(SCALE)]
    lower = [[PipePair(x + i, 0, y + j) for j in range(SCALE)] for i in range(SCALE)]
    return _strips(upper, around), _strips(lower, around)


def _strips(pipes: list[list[PipePair]], around: tuple[slice, slice]) -> Float32[np.ndarray, "4 4 r k 3"]:
    pictures = [[render_without_bird(0, (pipe,))[around] for pipe in row] for row in pipes]
    return np.array(pictures, np.float32)


def _edge_height(
    pixels: Float32[np.ndarray, "h w 3"],
    strips: Float32[np.ndarray, "4 4 r k 3"],
    x: int,
    columns: Int64[np.ndarray, " n"],
    guess: int,
) -> float:
    """Height of a pipe's end near a guess: the place whose picture is closest, between the pixels."""
    rows = np.arange(max(guess // SCALE - 4, 0), guess // SCALE + 3)
    places = np.arange(guess - 7, guess + 4)
    strip_rows = rows - (places // SCALE)[:, None] + _STRIP_REACH
    phases = places[:, None, None] % SCALE
    pictures = strips[x % SCALE, phases, strip_rows[..., None], columns - x // SCALE]
    window = pixels[rows[0] : rows[-1] + 1, columns]
    errors = ((pictures - window) ** 2).sum((1, 2, 3))
    best = int(errors.argmin())
    return float(places[best]) + subpixel(-errors, best)


def subpixel(values: Float32[np.ndarray, " y"], best: int) -> float:
    """Offset of a parabola's top from the best of equally spaced values."""
    if not 0 < best < len(values) - 1:
        return 0.0
    left, middle, right = (float(value) for value in values[best - 1 : best + 2])
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
