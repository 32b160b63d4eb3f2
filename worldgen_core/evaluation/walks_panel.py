"""Panel `walks`: long dreams under recorded actions. Is the player still where it belongs, facing right?

Frames are compared with those of the recording at the same time: the dream may be elsewhere by then, but a
player is to be seen wherever it is, and faces the way that was pressed last. On the screen it belongs where
the camera keeps it: its place changes only while the camera rests along that axis. A sprite that scrolls away
with the map, or is left behind, does not belong where it is, and neither does a second one elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from worldgen_core.evaluation.image_metrics import sharpness
from worldgen_core.evaluation.tracked import Tracked

_CURVE_FRAMES = 20
"""Frames that a point of the curves stands for."""
_SLACK_PX = 2
"""Pixels about home within which the player counts as at home."""


@dataclass(frozen=True)
class Walk:
    """Recorded actions from frame `first` of an episode, the recording's frames, and the dream's."""

    episode: int
    first: int
    action: Int64[np.ndarray, " n"]
    truth: UInt8[np.ndarray, "n h w 3"]
    dream: UInt8[np.ndarray, "n h w 3"]
    seen: Tracked
    """The dream's track; begins with the last context frame."""
    real: Tracked
    """The recording's track of the same frames."""


def walk_starts(lengths: Sequence[int], *, num_walks: int, num_frames: int) -> list[tuple[int, int]]:
    """(episode, first frame) of walks of so many frames, spread evenly over episodes of these lengths."""
    firsts = [
        (episode, first) for episode, length in enumerate(lengths) for first in range(length - num_frames)
    ]
    chosen = np.linspace(0, len(firsts) - 1, min(num_walks, len(firsts))).astype(int)
    return [firsts[index] for index in chosen]


def walks_panel(
    walks: Sequence[Walk], *, home: Int64[np.ndarray, " 2"], tile_px: int, sharpness_frames: int
) -> dict[str, Any]:
    """Shares over all frames of all walks in which the reader finds the player in the recording."""
    own = [is_in_place(walk.seen, home, tile_px)[1:] for walk in walks]
    real = [is_in_place(walk.real, home, tile_px)[1:] for walk in walks]
    asked = np.concatenate([walk.real.is_found[1:] for walk in walks])
    faces = np.concatenate([_faces_alike(walk) for walk in walks])
    is_found, is_really = np.concatenate(own), np.concatenate(real)
    sharp, sharp_real = (
        np.mean([sharpness(frames[-sharpness_frames:]).mean() for frames in sides])
        for sides in ([walk.dream for walk in walks], [walk.truth for walk in walks])
    )
    return {
        "num_walks": len(walks),
        "walk_frames": len(walks[0].action),
        "num_frames_compared": int(asked.sum()),
        "found_share": _share(is_found[asked]),
        "reader_found_share": _share(is_really[asked]),
        "found_anywhere_share": _share(np.concatenate([walk.seen.is_found[1:] for walk in walks])[asked]),
        "recording_found_share": _share(asked),
        "facing_share": _share(faces[asked & is_found]),
        "sharpness_at_end": float(sharp / sharp_real),
        "num_cuts": sum(int(walk.seen.camera.is_cut[1:].sum()) for walk in walks),
        "reader_num_cuts": sum(int(walk.real.camera.is_cut[1:].sum()) for walk in walks),
    }


def walk_series(
    walks: Sequence[Walk], *, home: Int64[np.ndarray, " 2"], tile_px: int
) -> dict[str, list[float | None]]:
    """Player found and facing right over the frames of the walks, for a plot."""
    asked = np.stack([walk.real.is_found[1:] for walk in walks])
    found = np.stack([is_in_place(walk.seen, home, tile_px)[1:] for walk in walks])
    real = np.stack([is_in_place(walk.real, home, tile_px)[1:] for walk in walks])
    faces = np.stack([_faces_alike(walk) for walk in walks])
    parts = np.array_split(np.arange(asked.shape[1]), max(asked.shape[1] // _CURVE_FRAMES, 1))
    return {
        "frame": [float(part[-1] + 1) for part in parts],
        "found": [_share(found[:, part][asked[:, part]]) for part in parts],
        "reader_found": [_share(real[:, part][asked[:, part]]) for part in parts],
        "facing": [_share(faces[:, part][(asked & found)[:, part]]) for part in parts],
    }


def is_in_place(seen: Tracked, home: Int64[np.ndarray, " 2"], tile_px: int) -> Bool[np.ndarray, " t"]:
    """Where the player is found within a tile of where the camera must have kept it on the screen.

    Followed from where it was found first; anew after cuts, and wherever it is at home.
    """
    place, shift = seen.track.place, seen.camera.shift
    is_new = seen.camera.is_cut | seen.camera.is_dark
    in_place = np.zeros(len(place), np.bool_)
    due: np.ndarray | None = None
    last: np.ndarray | None = None
    for index in range(len(place)):
        if is_new[index]:
            due, last = None, None
        if not seen.is_found[index]:
            last = None
            continue
        here = place[index]
        if due is None or np.abs(here - home).max() <= _SLACK_PX:
            due = here.copy()
        elif last is not None:
            due += np.where(shift[index] == 0, here - last, 0)
        in_place[index] = np.abs(here - due).max() <= tile_px
        last = here
    return in_place


def _faces_alike(walk: Walk) -> Bool[np.ndarray, " n"]:
    return walk.seen.track.facing[1:] == walk.real.track.facing[1:]


def _share(is_true: np.ndarray) -> float | None:
    return float(is_true.mean()) if len(is_true) else None
