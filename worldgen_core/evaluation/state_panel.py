"""Panel 1: the state a dream shows against the true simulator, under the same actions from the same context.

What the game draws at random is taken from the truth. Every figure that rests on the state reader has a
twin named `reader_…`: the same figure for the reader on the true frames, so that a person sees how much of
an error is the reader's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from worldgen_core.evaluation.dream import Dream
from worldgen_core.evaluation.starts import Starts
from worldgen_core.games.base import Frame, State

FOUND_AT = (32, 64, 128)
HEIGHT_AT = (8, 32, 64)
_READ_EVERY = 4
_DENSE_ROWS, _DENSE_COLUMNS = 4, 32


def columns_to_read(alive: Bool[np.ndarray, "b n"]) -> Bool[np.ndarray, "b n"]:
    """Where reading is worth its time: every fourth frame of the living, and the first 32 of a few starts."""
    wanted = np.zeros_like(alive)
    wanted[:, _READ_EVERY - 1 :: _READ_EVERY] = True
    wanted[:_DENSE_ROWS, :_DENSE_COLUMNS] = True
    return wanted & alive


def read_heights(
    read: Callable[[Frame], State], frames: UInt8[np.ndarray, "b n h w c"], wanted: Bool[np.ndarray, "b n"]
) -> Float32[np.ndarray, "b n"]:
    """Heights that the reader finds where wanted; NaN elsewhere and where it finds no player."""
    heights = np.full(wanted.shape, np.nan, dtype=np.float32)
    for i, j in np.argwhere(wanted):
        heights[i, j] = read(frames[i, j]).height
    return heights


def state_panel(
    starts: Starts,
    dream: Dream,
    *,
    dream_height: Float32[np.ndarray, "b n"],
    truth_height: Float32[np.ndarray, "b n"],
) -> dict[str, Any]:
    """Bird found, height error and deaths; the heights are what the reader found in both sorts of frames.

    `bird_found_n` is over the starts that truly live after n frames and whose true frame shows the reader a
    bird; `height_error_px_n` over those where the reader also finds it in the dream, against the
    simulator's height.
    """
    num_starts, num_columns = starts.action.shape
    panel: dict[str, Any] = {"num_starts": num_starts, "num_deaths": int((starts.death < num_columns).sum())}
    for after in FOUND_AT:
        panel |= _found(starts, dream_height, truth_height, after)
    for after in HEIGHT_AT:
        panel |= _height_error(starts, dream_height, truth_height, after)
    return panel | _terminations(starts, dream.terminated)


def curves(
    starts: Starts, *, dream_height: Float32[np.ndarray, "b n"], truth_height: Float32[np.ndarray, "b n"]
) -> dict[str, list[float | None]]:
    """Bird found and height error over the frames that were read for all starts, for a plot."""
    afters = range(_READ_EVERY, starts.action.shape[1] + 1, _READ_EVERY)
    rows = [
        _found(starts, dream_height, truth_height, after)
        | _height_error(starts, dream_height, truth_height, after)
        for after in afters
    ]
    series: dict[str, list[float | None]] = {"frame": [float(after) for after in afters]}
    for name in ("bird_found", "reader_bird_found", "height_error_px", "reader_height_error_px"):
        series[name] = [row[f"{name}_{after}"] for after, row in zip(afters, rows, strict=True)]
    return series


def _found(starts: Starts, dream_height: np.ndarray, truth_height: np.ndarray, after: int) -> dict[str, Any]:
    visible = _column(starts.alive & starts.visible, after)
    readable = visible & np.isfinite(_column(truth_height, after))
    return {
        f"bird_found_{after}": _mean(np.isfinite(_column(dream_height, after))[readable]),
        f"reader_bird_found_{after}": _mean(np.isfinite(_column(truth_height, after))[visible]),
        f"num_found_{after}": int(readable.sum()),
    }


def _height_error(
    starts: Starts, dream_height: np.ndarray, truth_height: np.ndarray, after: int
) -> dict[str, Any]:
    alive, height = _column(starts.alive, after), _column(starts.height, after)
    error = np.abs(_column(dream_height, after) - height)[alive]
    reader_error = np.abs(_column(truth_height, after) - height)[alive]
    return {
        f"height_error_px_{after}": _mean(error[np.isfinite(error)]),
        f"reader_height_error_px_{after}": _mean(reader_error[np.isfinite(reader_error)]),
    }


def _terminations(starts: Starts, terminated: Float32[np.ndarray, "b n"]) -> dict[str, Any]:
    """Deaths announced within one frame, and announcements of deaths that do not happen.

    A true death counts as announced if the dream's probability passes one half on the crash frame or on one
    of its neighbours; `first_termination_within_1` asks that it does not pass before. Announcements on
    other frames of a true life are false. Without a termination head all are None.
    """
    num_columns = terminated.shape[1]
    announced = terminated > 0.5
    column = np.arange(num_columns)[None]
    beside_death = np.abs(column - starts.death[:, None]) <= 1
    # The frame before a clip's end is not beside a death: that life goes on.
    beside_death &= (starts.death < num_columns)[:, None]
    elsewhere = starts.alive & ~beside_death
    dies = starts.death < num_columns
    is_matched = (announced & beside_death).any(axis=1)
    is_false = (announced & elsewhere).any(axis=1)
    learned = bool(np.isfinite(terminated).any())
    return {
        "termination_within_1": _mean(is_matched[dies]) if learned else None,
        "first_termination_within_1": _mean((is_matched & ~is_false)[dies]) if learned else None,
        "false_terminations_per_frame": _mean(announced[elsewhere]) if learned else None,
    }


def _column(values: np.ndarray, after: int) -> np.ndarray:
    """What follows after so many frames; an empty column beyond the horizon."""
    return values[:, after - 1] if after <= values.shape[1] else np.zeros(len(values), dtype=values.dtype)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None
