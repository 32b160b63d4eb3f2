"""How well the player's poses fit at places of one frame: the arithmetic behind the reader.

A pixel speaks for the player by how little its colour differs, and against it by at most so much: a roof
over the player's legs costs their share and no more. That is computed near a known place. In the whole frame
squared errors, two products of matrices, first choose the places that are worth it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from worldgen_core.tracking.sprites import SpriteBank

_SOLID = 0.9
"""Opacity from which a pixel is compared."""
_BLURS = (0.0, 0.8)
_MIN_VISIBLE = 0.75
"""Share of the player that must be inside the frame to score fully."""


class Templates(NamedTuple):
    """Poses at one sharpness."""

    weight: Float32[np.ndarray, "n p"]
    """1 for solid pixels, 0 elsewhere; p = pixels of the box."""
    colour: Float32[np.ndarray, "n p 3"]


class Match(NamedTuple):
    """A pose at a place: the box's upper left corner in the frame."""

    score: float
    y: int
    x: int
    pose: int


NO_MATCH = Match(0.0, 0, 0, 0)


def make_templates(bank: SpriteBank) -> tuple[Templates, ...]:
    """The bank's poses, sharp and blurred."""
    weight = (bank.opacity >= _SOLID).astype(np.float32).reshape(len(bank.opacity), -1)
    colours = [
        np.stack([_blurred(*pose, blur) for pose in zip(bank.colour, bank.opacity, strict=True)])
        for blur in _BLURS
    ]
    return tuple(Templates(weight, colour.reshape(*weight.shape, 3)) for colour in colours)


def _blurred(
    colour: Float32[np.ndarray, "h w 3"], opacity: Float32[np.ndarray, "h w"], sigma: float
) -> Float32[np.ndarray, "h w 3"]:
    if not sigma:
        return colour
    share = cv2.GaussianBlur(opacity, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    tinted = cv2.GaussianBlur(colour * opacity[..., None], (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return (tinted / np.maximum(share, 1e-3)[..., None]).astype(np.float32)


class Windows:
    """A frame seen through a box at every place, up to `border` pixels over the edge."""

    def __init__(
        self,
        frame: UInt8[np.ndarray, "h w 3"],
        size: tuple[int, int],
        *,
        border: int,
        colour_tolerance: float,
    ) -> None:
        inside = np.pad(np.ones(frame.shape[:2], np.float32), border)
        pixels = np.pad(frame.astype(np.float32), ((border, border), (border, border), (0, 0)))
        self._border = border
        self._limit = 3 * colour_tolerance**2
        self._pixels = sliding_window_view(pixels, (*size, 3))[:, :, 0]
        self._squares = sliding_window_view(np.square(pixels).sum(axis=2), size)
        self._inside = sliding_window_view(inside, size)

    def around(self, y: int, x: int, reach: int) -> Int64[np.ndarray, "m 2"]:
        """All places (y, x) up to `reach` away that there are."""
        ys, xs = (
            np.arange(max(at - reach, -self._border), min(at + reach + 1, size - self._border))
            for at, size in zip((y, x), self._inside.shape[:2], strict=True)
        )
        return np.stack(np.meshgrid(ys, xs, indexing="ij"), axis=-1).reshape(-1, 2)

    def matches(self, places: Int64[np.ndarray, "m 2"], templates: Templates) -> list[Match]:
        """The best pose at each place, best place first."""
        if not len(places):
            return [NO_MATCH]
        scores = self._scores(places, templates)
        pose = scores.argmax(axis=1)
        order = np.argsort(-scores.max(axis=1), kind="stable")
        return [
            Match(float(scores[at, pose[at]]), int(places[at, 0]), int(places[at, 1]), int(pose[at]))
            for at in order
        ]

    def _scores(self, places: Int64[np.ndarray, "m 2"], templates: Templates) -> Float32[np.ndarray, "m n"]:
        rows, columns = (places + self._border).T
        windows = self._pixels[rows, columns].reshape(len(places), -1, 3)
        inside = self._inside[rows, columns].reshape(len(places), -1)
        scores = np.empty((len(places), len(templates.weight)), np.float32)
        for index, (weight, colour) in enumerate(zip(*templates, strict=True)):
            difference = windows - colour
            squares = np.einsum("mpc,mpc->mp", difference, difference)
            evidence = np.maximum(1 - squares / self._limit, 0) * inside
            scores[:, index] = evidence @ weight / np.maximum(inside @ weight, _MIN_VISIBLE * weight.sum())
        return scores

    def candidates(self, templates: Templates, count: int) -> Int64[np.ndarray, "m 2"]:
        """Places (y, x) with the lowest squared errors of the whole player or of its upper half.

        The mean of w*(f - c)^2 is that of w*f^2 - 2*w*f*c + w*c^2; beyond the frame's edge w counts as 0.
        """
        weight = templates.weight
        upper = np.where(np.arange(weight.shape[1]) < weight.shape[1] // 2, weight, 0)
        errors = self._squared_errors(
            Templates(np.concatenate((weight, upper)), np.concatenate((templates.colour,) * 2))
        )
        halves = errors[..., : len(weight)].min(axis=-1), errors[..., len(weight) :].min(axis=-1)
        return np.unique(np.concatenate([_low_places(half, count) for half in halves]), axis=0) - self._border

    def _squared_errors(self, templates: Templates) -> Float32[np.ndarray, "y x n"]:
        rows, columns = self._inside.shape[:2]
        weight = templates.weight.T
        flat, squares, inside = (
            windows.reshape(rows * columns, -1) for windows in (self._pixels, self._squares, self._inside)
        )
        tint = (templates.weight[..., None] * templates.colour).reshape(len(templates.weight), -1).T
        energy = (templates.weight * np.square(templates.colour).sum(axis=-1)).T
        seen = np.maximum(inside @ weight, _MIN_VISIBLE * weight.sum(axis=0))
        return ((squares @ weight - 2 * (flat @ tint) + inside @ energy) / seen).reshape(rows, columns, -1)


def _low_places(errors: Float32[np.ndarray, "y x"], count: int) -> Int64[np.ndarray, "m 2"]:
    """(row, column) of the lowest local minima."""
    is_lowest = errors <= cv2.erode(errors, np.ones((3, 3), np.uint8))
    flat = np.flatnonzero(is_lowest)
    chosen = flat[np.argsort(errors.ravel()[flat], kind="stable")[:count]]
    return np.stack(np.unravel_index(chosen, errors.shape), axis=1)
