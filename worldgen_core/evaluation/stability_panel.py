"""Panel 5: does the dream hold for thousands of frames? Its worst stretch says so, not its mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from worldgen_core.evaluation.own_play import Play

_SHARPNESS_BOUNDS = (0.5, 2.0)
_MAX_BRIGHTNESS_SHIFT = 30.0
_MIN_MOTION_RATIO = 0.2


def stability_panel(
    dream: Play, reference: Play, *, segment_frames: int, is_varied: bool = False
) -> dict[str, Any]:
    """Compare every segment of the long dreams with the mean of true play under the same player.

    A segment's `sharpness_ratio` falls where pictures blur and rises where they crumble, `brightness_shift`
    (of 255 levels) shows drifting colours, `motion_ratio` a frozen picture. A segment has collapsed when
    its sharpness leaves [0.5, 2], its brightness shifts by more than 30, or its motion falls below a fifth.
    The worst of each is quoted, and where it was: `worst_segment` has the player, the slot and the first
    frame of the segment that is farthest off in sharpness.

    `is_varied` says that true play shows scenes of many kinds, rooms and woods, and times of standing still:
    a segment then has collapsed where it leaves the range of all true ones by as much, and where the whole
    slot moves less than a fifth of what the true play of that slot does.
    """
    columns = _segments(dream.over.shape[1], segment_frames)
    true_mean = {name: _reference(reference, name) for name in set(dream.players)}
    sharp, bright, motion = (
        np.stack([_mean(values[:, part]) for part in columns], axis=1)
        for values in (dream.sharpness, dream.brightness, dream.motion)
    )
    expected = np.array([true_mean[name] for name in dream.players], dtype=np.float64)
    sharp_ratio = sharp / expected[:, :1]
    shift = np.abs(bright - expected[:, 1:2])
    motion_ratio = motion / np.maximum(expected[:, 2:], 1e-3)
    low, high = _SHARPNESS_BOUNDS
    collapsed = (sharp_ratio < low) | (sharp_ratio > high)
    collapsed |= (shift > _MAX_BRIGHTNESS_SHIFT) | (motion_ratio < _MIN_MOTION_RATIO)
    if is_varied:
        collapsed = _outside_all(sharp, bright, reference, segment_frames) | _stands_still(dream, reference)
    distance = np.abs(np.log(np.maximum(sharp_ratio, 1e-6)))
    slot, segment = np.unravel_index(int(distance.argmax()), distance.shape)
    return {
        "num_frames": int(dream.over.size),
        "num_segments": int(distance.size),
        "segment_frames": len(columns[0]),
        "worst_sharpness_ratio": float(sharp_ratio[slot, segment]),
        "worst_brightness_shift": float(shift.max()),
        "worst_motion_ratio": float(motion_ratio.min()),
        "worst_segment": {
            "player": dream.players[slot],
            "slot": int(slot),
            "first_frame": int(columns[segment][0]),
        },
        "num_collapsed_segments": int(collapsed.sum()),
        "mean_sharpness_ratio": float(sharp_ratio.mean()),
        **_found_by_rule(dream, columns),
    }


def segment_series(dream: Play, reference: Play, *, segment_frames: int) -> dict[str, list[float]]:
    """Worst and mean sharpness ratio by segment, for a plot."""
    columns = _segments(dream.over.shape[1], segment_frames)
    expected = np.array([_reference(reference, name)[0] for name in dream.players])
    ratio = np.stack([_mean(dream.sharpness[:, part]) for part in columns], axis=1) / expected[:, None]
    return {
        "frame": [float(part[-1] + 1) for part in columns],
        "lowest_sharpness_ratio": [float(value) for value in ratio.min(axis=0)],
        "mean_sharpness_ratio": [float(value) for value in ratio.mean(axis=0)],
        "highest_sharpness_ratio": [float(value) for value in ratio.max(axis=0)],
    }


def _segments(num_frames: int, segment_frames: int) -> list[np.ndarray]:
    """Columns of each segment; a short rest joins the last one."""
    return np.array_split(np.arange(num_frames), max(num_frames // segment_frames, 1))


def _outside_all(
    sharp: np.ndarray, bright: np.ndarray, reference: Play, segment_frames: int
) -> Bool[np.ndarray, "s segments"]:
    """Segments that are outside of what any true segment shows."""
    columns = _segments(reference.over.shape[1], segment_frames)
    true_sharp, true_bright = (
        np.stack([_mean(values[:, part]) for part in columns])
        for values in (reference.sharpness, reference.brightness)
    )
    low, high = _SHARPNESS_BOUNDS
    outside = (sharp < low * true_sharp.min()) | (sharp > high * true_sharp.max())
    outside |= bright < true_bright.min() - _MAX_BRIGHTNESS_SHIFT
    return outside | (bright > true_bright.max() + _MAX_BRIGHTNESS_SHIFT)


def _stands_still(dream: Play, reference: Play) -> Bool[np.ndarray, "s 1"]:
    """Slots whose pictures hardly move, although the true ones of the same slot do."""
    return (_mean(dream.motion) < _MIN_MOTION_RATIO * _mean(reference.motion))[:, None]


def _reference(reference: Play, name: str) -> tuple[float, float, float]:
    rows = reference.of(name)
    rows = rows if len(rows) else np.arange(len(reference.players))
    values = (reference.sharpness[rows], reference.brightness[rows], reference.motion[rows])
    sharp, bright, motion = (float(np.nanmean(value, dtype=np.float64)) for value in values)
    return sharp, bright, motion


def _mean(values: Float32[np.ndarray, "s n"]) -> np.ndarray:
    return values.mean(axis=1, dtype=np.float64)


def _found_by_rule(dream: Play, columns: list[np.ndarray]) -> dict[str, Any]:
    rows = dream.of("rule")
    if not len(rows):
        return {}
    found = np.stack([dream.found[rows][:, part].mean(axis=1) for part in columns], axis=1)
    return {"rule_found_worst_segment": float(found.min()), "rule_found_mean": float(found.mean())}
