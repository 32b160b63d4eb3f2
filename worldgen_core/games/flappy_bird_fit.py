"""Finds the bird in a Flappy Bird frame by fitting its sprite to what differs from the scenery.

The sprite in every rotation, wing phase and quarter of a row, and in some of them blurred, is compared by
least squares, so that an edge pixel counts by how much of it the sprite covers. With d the difference from
the scenery s, and a template of covered share a and colour times share c, the sprite changes the picture by
c - a*s; fitting it lowers the squared error by 2*cross - energy with cross = d*(c - a*s) and energy = (c -
a*s)^2, summed over the pixels. Both are matrix products.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from worldgen_core.games.flappy_pipe_fit import subpixel
from worldgen_core.games.flappy_render import (
    BIRD_COLUMNS,
    BIRD_X,
    GROUND_TOP,
    MAX_VISIBLE_ROTATION,
    SCALE,
    bird_sprite,
)

_GROUND_ROW = GROUND_TOP // SCALE
_PATCH = BIRD_COLUMNS.stop - BIRD_COLUMNS.start
_FIRST_ROW = -8
_GHOST_DISTANCE = 7
_BLUR = 1.2
"""Pixels of the blur in which a dream's bird is still one bird."""
_ROTATIONS = (MAX_VISIBLE_ROTATION, *range(18, -91, -3))


class BirdFit(NamedTuple):
    """The best bird: height in native pixels, and how good it is.

    `quality` is the part of a full bird that the fit explains: 1 for a perfect one, 0 for one of half its
    contrast. `ghost` is the strongest second bird elsewhere, as a share of a full one.
    """

    height: float
    quality: float
    ghost: float


class _Templates(NamedTuple):
    """Birds in many shapes, one a column, with the products that every fit needs.

    Pixels p, pixels with channels q, rows of the picture k, shapes n.
    """

    share: Float32[np.ndarray, "p n"]
    share_squared: Float32[np.ndarray, "p n"]
    colour: Float32[np.ndarray, "q n"]
    share_colour: Float32[np.ndarray, "q n"]
    colour_energy: Float32[np.ndarray, "k n"]


class _Shape(NamedTuple):
    rotation: int
    wing: int
    blur: float = 0.0


def _template(shape: _Shape, phase: int) -> tuple[Float32[np.ndarray, "p 1"], Float32[np.ndarray, "p 3"]]:
    sprite = bird_sprite(shape.wing, shape.rotation)
    canvas = np.zeros((_PATCH * SCALE, _PATCH * SCALE, 4), np.float32)
    height, width = sprite.is_opaque.shape
    opaque = sprite.is_opaque[..., None]
    place = np.s_[phase : phase + height, BIRD_X % SCALE : BIRD_X % SCALE + width]
    canvas[place] = np.concatenate([opaque, sprite.pixels * opaque], axis=-1)
    small = canvas.reshape(_PATCH, SCALE, _PATCH, SCALE, 4).mean((1, 3))
    if shape.blur:
        small = cv2.GaussianBlur(small, (0, 0), shape.blur, borderType=cv2.BORDER_CONSTANT)
    flat = small.reshape(_PATCH**2, 4)
    return flat[:, :1], flat[:, 1:]


def _make_templates(shapes: list[_Shape], phases: tuple[int, ...]) -> _Templates:
    made = [_template(shape, phase) for phase in phases for shape in shapes]
    share = np.stack([share for share, _ in made], axis=-1)
    colour = np.stack([colour for _, colour in made], axis=-1)
    num_pixels, _, num_templates = colour.shape
    energy = _windows(_padded(np.ones((_GROUND_ROW, _PATCH, 1), np.float32))) @ (colour**2).sum(1)
    flat = (num_pixels * 3, num_templates)
    return _Templates(
        share[:, 0], share[:, 0] ** 2, colour.reshape(flat), (share * colour).reshape(flat), energy
    )


@cache
def _coarse() -> _Templates:
    return _make_templates([_Shape(rotation, 1) for rotation in (MAX_VISIBLE_ROTATION, -30, -90)], (0, 2))


@cache
def _fine() -> _Templates:
    sharp = [_Shape(rotation, wing) for rotation in _ROTATIONS for wing in range(3)]
    blurred = [_Shape(rotation, 1, _BLUR) for rotation in _ROTATIONS[::3]]
    return _make_templates([*sharp, *blurred], tuple(range(SCALE)))


class _Fit(NamedTuple):
    cross: Float32[np.ndarray, "k n"]
    energy: Float32[np.ndarray, "k n"]

    @property
    def gain(self) -> Float32[np.ndarray, "k n"]:
        return 2 * self.cross - self.energy


class _Scene(NamedTuple):
    """Windows on the difference d and the scenery s, at every row, and their products summed over colours."""

    d: Float32[np.ndarray, "k q"]
    s: Float32[np.ndarray, "k q"]
    ds: Float32[np.ndarray, "k p"]
    ss: Float32[np.ndarray, "k p"]


def _scene(pixels: Float32[np.ndarray, "r w 3"], scenery: Float32[np.ndarray, "r w 3"]) -> _Scene:
    d, s = _padded(pixels - scenery), _padded(scenery)
    ds, ss = (d * s).sum(2, keepdims=True), (s * s).sum(2, keepdims=True)
    return _Scene(_windows(d), _windows(s), _windows(ds), _windows(ss))


def _fit(templates: _Templates, scene: _Scene, rows: slice) -> _Fit:
    """Fit all templates at the given rows; pixels outside the picture are zero and count for nothing."""
    d, s, ds, ss = (windows[rows] for windows in scene)
    cross = d @ templates.colour - ds @ templates.share
    energy = templates.colour_energy[rows] + ss @ templates.share_squared - 2 * s @ templates.share_colour
    return _Fit(cross, energy)


def _windows(columns: Float32[np.ndarray, "r w c"]) -> Float32[np.ndarray, "k q"]:
    """Every run of rows as high as a template, flattened."""
    flat = np.ascontiguousarray(columns).ravel()
    row = columns.shape[1] * columns.shape[2]
    return np.lib.stride_tricks.sliding_window_view(flat, _PATCH * row)[::row]


def _padded(columns: Float32[np.ndarray, "r w c"]) -> Float32[np.ndarray, "q w c"]:
    padded = np.zeros((_PATCH + len(columns) - _FIRST_ROW, *columns.shape[1:]), np.float32)
    padded[-_FIRST_ROW : len(columns) - _FIRST_ROW] = columns
    return padded


def fit_bird(pixels: Float32[np.ndarray, "h w 3"], scenery: UInt8[np.ndarray, "h w 3"]) -> BirdFit:
    """The best bird of a frame, given the same picture without a bird."""
    columns = np.s_[:_GROUND_ROW, BIRD_COLUMNS]
    scene = _scene(pixels[columns], scenery[columns].astype(np.float32))
    coarse = _fit(_coarse(), scene, slice(None))
    first = max(int(coarse.gain.max(1).argmax()) - 2, 0)
    fine = _fit(_fine(), scene, slice(first, first + 5))
    # Native heights from the first row on, one line each; columns are the shapes.
    by_height = fine.gain.reshape(len(fine.gain) * SCALE, -1)
    place, shape = (int(i) for i in np.unravel_index(by_height.argmax(), by_height.shape))
    row = first + place // SCALE
    energy = max(coarse.energy[row].max(), 0.25 * coarse.energy.max())
    height = (first + _FIRST_ROW) * SCALE + place + subpixel(by_height[:, shape], place)
    return BirdFit(height, float(by_height[place, shape] / energy), _strongest_ghost(coarse, row))


def _strongest_ghost(coarse: _Fit, row: int) -> float:
    """The most bird-like spot away from the bird, as a share of a full one; cut-off ones are left out."""
    is_far = np.abs(np.arange(len(coarse.cross)) - row) >= _GHOST_DISTANCE
    colours = _coarse().colour_energy
    is_whole = (colours > 0.6 * colours.max(0)).all(1)
    likeness = (coarse.cross / np.maximum(coarse.energy, 1)).max(1)
    return float(likeness[is_far & is_whole].max(initial=0.0))
