"""The player's motion through the world: what it moved on the screen plus what the camera moved.

Walking and resting, and the places at which the picture fades, as at doors. Frame t's motion is that from
frame t-1 to frame t; `action[t]` first shows in the motion of frame t+1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from worldgen_core.tracking.camera import CameraTrack
from worldgen_core.tracking.track import PlayerTrack


@dataclass(frozen=True, slots=True)
class WorldMotion:
    """Motion of the player in pixels of the world, frame by frame."""

    motion: Int64[np.ndarray, "t 2"]
    """(dy, dx) since the last frame; 0 where unknown."""
    is_known: Bool[np.ndarray, " t"]
    """The player was found in this frame and the last one, with no cut between them."""

    @property
    def is_moving(self) -> Bool[np.ndarray, " t"]:
        """Known to move."""
        return (self.motion != 0).any(axis=1)

    @property
    def is_resting(self) -> Bool[np.ndarray, " t"]:
        """Known not to move."""
        return self.is_known & ~self.is_moving

    @property
    def position(self) -> Int64[np.ndarray, "t 2"]:
        """(y, x) relative to the first frame; means something only between frames that are all known."""
        return np.cumsum(self.motion, axis=0)

    def rest_frames(self) -> Int64[np.ndarray, " t"]:
        """For how many frames the player is known to have rested, this one included."""
        counts = np.zeros(len(self.is_known), np.int64)
        for index in np.flatnonzero(self.is_resting):
            counts[index] = counts[index - 1] + 1
        return counts


class Fade(NamedTuple):
    """A door or another change of scene: frames start to stop - 1 cut or fade, black in between or not."""

    start: int
    stop: int
    is_through_black: bool


def world_motion(camera: CameraTrack, track: PlayerTrack) -> WorldMotion:
    """Join the camera's motion with the player's on the screen."""
    is_known = np.zeros(len(track.found), np.bool_)
    is_known[1:] = track.found[1:] & track.found[:-1] & ~camera.is_cut[1:]
    motion = np.diff(track.place, axis=0, prepend=track.place[:1]) + camera.shift
    motion[~is_known] = 0
    return WorldMotion(motion, is_known)


def find_fades(camera: CameraTrack, *, max_gap: int = 3) -> list[Fade]:
    """Runs of cut or black frames; runs up to `max_gap` frames apart belong together."""
    indices = np.flatnonzero(camera.is_cut | camera.is_dark)
    if not len(indices):
        return []
    groups = np.split(indices, np.flatnonzero(np.diff(indices) > max_gap + 1) + 1)
    return [
        Fade(int(group[0]), int(group[-1]) + 1, bool(camera.is_dark[group[0] : group[-1] + 1].any()))
        for group in groups
    ]
