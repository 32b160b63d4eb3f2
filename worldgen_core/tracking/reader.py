"""Finds the player in a single frame, recorded or dreamt: where it stands and which way it looks.

Every pose of the bank, sharp and somewhat blurred, is laid over every place. A pixel speaks for the player by
how little its colour differs, and against it by at most so much: thus a roof over the player's legs costs their
share and no more. Anywhere in the frame squared errors, two products of matrices, choose the places that are
looked at so closely; near a known place all are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from worldgen_core.tracking.settings import Facing, TrackingSettings
from worldgen_core.tracking.sprites import SpriteBank

_SOLID = 0.9
"""Opacity from which a pixel is compared."""
_BLURS = (0.0, 0.8)
_NUM_CANDIDATES = 12
_MIN_VISIBLE = 0.75
"""Share of the player that must be inside the frame to score fully."""
_GHOST_SHARE = 0.95
"""A second player elsewhere, that scores this share of the best one, makes both doubtful."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one frame shows of the player.

    `x` and `y` are the upper left corner of its box in pixels of the frame (-1 where it is not found), `facing` is
    None then. `score` is 1 for a perfect match and given even if it is too low to count.
    """

    found: bool
    x: int
    y: int
    facing: Facing | None
    score: float
    pose: int = -1
    """Index of the bank's pose that fits best; -1 where not found."""

    @property
    def place(self) -> tuple[int, int] | None:
        """(x, y), as `SpriteReader.read` takes it for `near`; None where not found."""
        return (self.x, self.y) if self.found else None


NOT_FOUND = Sighting(False, -1, -1, None, 0.0)


class _Templates(NamedTuple):
    """Poses at several sharpnesses, n of them; p = box pixels times channels."""

    weight: Float32[np.ndarray, "n h w"]
    colour: Float32[np.ndarray, "n h w 3"]
    pose: Int64[np.ndarray, " n"]


class _Frame(NamedTuple):
    """A frame with a border for boxes that reach over the edge, as windows."""

    windows: Float32[np.ndarray, "y x h w 3"]
    is_inside: Float32[np.ndarray, "y x h w"]


class _Match(NamedTuple):
    score: float
    row: int
    column: int
    template: int


class SpriteReader:
    """Reads frames with a bank; a frame has any size, places may be given as hints.

    Cost: on one core about 5 ms for a whole frame of 120 x 80 with 16 poses, 2 ms near a known place.
    """

    def __init__(self, bank: SpriteBank, settings: TrackingSettings) -> None:
        self.bank = bank
        self.settings = settings
        self._templates = _templates(bank)

    def read(self, frame: UInt8[np.ndarray, "h w 3"], near: tuple[int, int] | None = None) -> Sighting:
        """The player in a frame; `near` is where (x, y) it was just before.

        Near a known place less is demanded than anywhere in the frame, where a second player makes both
        doubtful.
        """
        padded = self._padded(frame)
        if near is not None:
            sighting = self._read_near(padded, near)
            if sighting.score >= self.bank.min_score[0]:
                return sighting
            anywhere = self._read_anywhere(padded)
            return anywhere if anywhere.found and not sighting.found else sighting
        return self._read_anywhere(padded)

    def score_near(self, frame: UInt8[np.ndarray, "h w 3"], near: tuple[int, int]) -> float:
        """How well the player fits about a place (x, y), found or not."""
        return self._near(self._padded(frame), near).score

    def score_elsewhere(self, frame: UInt8[np.ndarray, "h w 3"], away_from: tuple[int, int]) -> float:
        """How well the player fits best at least a box away from a place (x, y)."""
        x, y = away_from
        return self._elsewhere(self._anywhere(self._padded(frame)), self._row(y), self._row(x)).score

    # One frame

    def _padded(self, frame: UInt8[np.ndarray, "h w 3"]) -> _Frame:
        border = self.settings.max_hidden_px
        inside = np.pad(np.ones(frame.shape[:2], np.float32), border)
        pixels = np.pad(frame.astype(np.float32), ((border, border), (border, border), (0, 0)))
        height, width = self._templates.weight.shape[1:]
        windows = sliding_window_view(pixels, (height, width, 3))[:, :, 0]
        return _Frame(windows, sliding_window_view(inside, (height, width)))

    def _row(self, position: int) -> int:
        return position + self.settings.max_hidden_px

    def _read_near(self, frame: _Frame, near: tuple[int, int]) -> Sighting:
        match = self._near(frame, near)
        return self._sighting(match, is_found=match.score >= self.bank.min_score[1])

    def _near(self, frame: _Frame, near: tuple[int, int]) -> _Match:
        reach = self.settings.max_step
        rows, columns = (
            np.arange(max(self._row(at) - reach, 0), min(self._row(at) + reach + 1, size))
            for at, size in zip(near[::-1], frame.windows.shape[:2], strict=True)
        )
        if not len(rows) or not len(columns):
            return _Match(0.0, 0, 0, 0)
        grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
        return self._look_closely(frame, grid)[0]

    def _read_anywhere(self, frame: _Frame) -> Sighting:
        matches = self._anywhere(frame)
        best = matches[0]
        other = self._elsewhere(matches, best.row, best.column)
        is_found = best.score >= self.bank.min_score[0] and other.score < _GHOST_SHARE * best.score
        return self._sighting(best, is_found=is_found)

    def _anywhere(self, frame: _Frame) -> list[_Match]:
        """The places with the least squared errors, of the whole player and of its upper half, by score."""
        halves = np.ones_like(self._templates.weight)
        halves[:, halves.shape[1] // 2 :] = 0
        weight = self._templates.weight
        errors = [_squared_errors(frame, own, self._templates.colour) for own in (weight, weight * halves)]
        places = [_lowest(error.min(axis=-1), _NUM_CANDIDATES) for error in errors]
        return self._look_closely(frame, np.unique(np.concatenate(places), axis=0))

    def _elsewhere(self, matches: list[_Match], row: int, column: int) -> _Match:
        height, width = self._templates.weight.shape[1:]
        others = (
            match
            for match in matches
            if abs(match.row - row) >= height // 2 or abs(match.column - column) >= width // 2
        )
        return next(others, _Match(0.0, 0, 0, 0))

    def _look_closely(self, frame: _Frame, places: Int64[np.ndarray, "m 2"]) -> list[_Match]:
        """The best template at each place, best place first."""
        weight, colour = self._templates.weight, self._templates.colour
        rows, columns = places.T
        windows, inside = frame.windows[rows, columns], frame.is_inside[rows, columns]
        limit = self.settings.colour_tolerance**2
        scores = np.empty((len(places), len(weight)), np.float32)
        for index, (own, tint) in enumerate(zip(weight, colour, strict=True)):
            ys, xs = np.nonzero(own)
            distance = np.square(windows[:, ys, xs] - tint[ys, xs]).mean(axis=-1)
            seen = inside[:, ys, xs]
            evidence = (np.maximum(1 - distance / limit, 0) * seen).sum(axis=1)
            scores[:, index] = evidence / np.maximum(seen.sum(axis=1), _MIN_VISIBLE * len(ys))
        best = scores.argmax(axis=1)
        order = np.argsort(-scores.max(axis=1), kind="stable")
        return [
            _Match(float(scores[at, best[at]]), int(rows[at]), int(columns[at]), int(best[at]))
            for at in order
        ]

    def _sighting(self, match: _Match, *, is_found: bool) -> Sighting:
        if not is_found:
            return Sighting(False, -1, -1, None, match.score)
        pose = int(self._templates.pose[match.template])
        border = self.settings.max_hidden_px
        x, y = match.column - border, match.row - border
        return Sighting(True, x, y, self.bank.facing_of(pose), match.score, pose)


def _templates(bank: SpriteBank) -> _Templates:
    colours, poses = [], []
    for blur in _BLURS:
        for pose, (colour, opacity) in enumerate(zip(bank.colour, bank.opacity, strict=True)):
            colours.append(_blurred(colour, opacity, blur) if blur else colour)
            poses.append(pose)
    weight = np.tile((bank.opacity >= _SOLID).astype(np.float32), (len(_BLURS), 1, 1))
    return _Templates(weight, np.stack(colours), np.array(poses, np.int64))


def _blurred(
    colour: Float32[np.ndarray, "h w 3"], opacity: Float32[np.ndarray, "h w"], sigma: float
) -> Float32[np.ndarray, "h w 3"]:
    share = cv2.GaussianBlur(opacity, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    tinted = cv2.GaussianBlur(colour * opacity[..., None], (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return (tinted / np.maximum(share, 1e-3)[..., None]).astype(np.float32)


def _squared_errors(
    frame: _Frame, weight: Float32[np.ndarray, "n h w"], colour: Float32[np.ndarray, "n h w 3"]
) -> Float32[np.ndarray, "y x n"]:
    """Weighted mean squared error of each template at each place, over what is inside the frame.

    The mean of w*(f - c)^2 is that of w*f^2 - 2*w*f*c + w*c^2; the border of the frame is zero.
    """
    rows, columns = frame.windows.shape[:2]
    flat = frame.windows.reshape(rows * columns, -1)
    inside = frame.is_inside.reshape(rows * columns, -1)
    own = np.repeat(weight[..., None], 3, axis=-1).reshape(len(weight), -1).T
    tint = own * colour.reshape(len(colour), -1).T
    energy = inside @ (weight * np.square(colour).sum(axis=-1)).reshape(len(weight), -1).T
    squares = np.square(flat) @ own - 2 * (flat @ tint) + energy
    seen = inside @ weight.reshape(len(weight), -1).T
    full = weight.sum(axis=(1, 2))
    return (squares / np.maximum(seen, _MIN_VISIBLE * full)).reshape(rows, columns, -1)


def _lowest(values: Float32[np.ndarray, "y x"], count: int) -> Int64[np.ndarray, "m 2"]:
    """(row, column) of the lowest values."""
    flat = np.argpartition(values.ravel(), min(count, values.size - 1))[:count]
    return np.stack(np.unravel_index(flat, values.shape), axis=1)
