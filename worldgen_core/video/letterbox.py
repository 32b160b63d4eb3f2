"""The part of the picture that is the game: without constant black bars, or a fixed box by a setting."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64, UInt8

from worldgen_core.errors import ConfigError
from worldgen_core.video.records import Box
from worldgen_core.video.scene_settings import LetterboxSettings

_SHARE_OF_LINE = 98.0
"""Percentile of a line's pixels that must be dark: a few bright ones are ringing of the codec."""


def sample_indices(num_frames: int, settings: LetterboxSettings) -> Int64[np.ndarray, " k"]:
    """Indices of the frames to look at, spread evenly, without the very first and last ones."""
    count = min(settings.num_samples, num_frames)
    return (np.arange(count) * 2 + 1) * num_frames // (2 * count)


def crop_box(
    frames: Iterable[UInt8[np.ndarray, "h w c"]], width: int, height: int, settings: LetterboxSettings
) -> Box | None:
    """The box to keep of a picture of `width` by `height`; None for the whole of it.

    `frames` are sampled at full size (only read in mode `auto`). The box found has even coordinates and holds
    no pixel of a bar.
    Raises: ConfigError for a fixed box that is missing or leaves the picture.
    """
    if settings.mode == "off":
        return None
    if settings.mode == "fixed":
        return _checked(settings.fixed_box(), width, height)
    rows, columns = np.zeros(height), np.zeros(width)
    for frame in frames:
        level = frame.max(axis=2)
        rows = np.maximum(rows, np.percentile(level, _SHARE_OF_LINE, axis=1))
        columns = np.maximum(columns, np.percentile(level, _SHARE_OF_LINE, axis=0))
    top, bottom = _inner(rows, settings)
    left, right = _inner(columns, settings)
    box = Box(left, top, right - left, bottom - top)
    is_whole = box == (0, 0, width, height)
    is_too_small = box.width * box.height < settings.min_area_share * width * height
    return None if is_whole or is_too_small else box


def _inner(levels: np.ndarray, settings: LetterboxSettings) -> tuple[int, int]:
    """Where the picture begins and ends between the dark lines, both even where there is a bar."""
    bright = np.flatnonzero(levels > settings.black_level)
    if bright.size == 0:
        return 0, 0
    first, end = int(bright[0]), int(bright[-1]) + 1
    first = first + first % 2 if first >= settings.min_bar_pixels else 0
    end = end - end % 2 if levels.size - end >= settings.min_bar_pixels else levels.size
    return first, end


def _checked(box: Box | None, width: int, height: int) -> Box:
    if (
        box is not None
        and min(box.x, box.y) >= 0
        and min(box.width, box.height) > 0
        and box.x + box.width <= width
        and box.y + box.height <= height
    ):
        return box
    raise ConfigError(
        "letterbox.box",
        expected=f"x, y, width, height of a box inside {width}x{height}",
        found="none" if box is None else str(tuple(box)),
        next_step="correct the box, or set letterbox.mode to auto",
    )
