"""Follows the player through consecutive frames, each read near where the last one had it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from worldgen_core.tracking.camera import CameraTrack
from worldgen_core.tracking.reader import Sighting, SpriteReader
from worldgen_core.tracking.settings import FACINGS

_PATIENCE = 6
"""Frames without a sighting after which the last place says nothing any more."""


@dataclass(frozen=True, slots=True)
class PlayerTrack:
    """Where the player is on the screen in each frame; -1 where it is not found."""

    found: Bool[np.ndarray, " t"]
    place: Int64[np.ndarray, "t 2"]
    """(y, x) of the box's upper left corner."""
    facing: Int64[np.ndarray, " t"]
    """Index into FACINGS."""
    pose: Int64[np.ndarray, " t"]
    """Index into the bank."""
    score: Float32[np.ndarray, " t"]


def track_player(
    frames: UInt8[np.ndarray, "t h w 3"],
    camera: CameraTrack,
    reader: SpriteReader,
    *,
    near: tuple[int, int] | None = None,
) -> PlayerTrack:
    """The player through consecutive frames; after cuts and fades it is looked for everywhere.

    `near` is where (x, y) it is known to be in the first frame.
    """
    sightings: list[Sighting] = []
    num_lost = 0
    for frame, is_new in zip(frames, camera.is_cut | camera.is_dark, strict=True):
        sighting = reader.read(frame, None if is_new else near)
        sightings.append(sighting)
        num_lost = 0 if sighting.found else num_lost + 1
        if sighting.found or is_new or num_lost > _PATIENCE:
            near = sighting.place
    return to_track(sightings)


def to_track(sightings: list[Sighting]) -> PlayerTrack:
    """Sightings of consecutive frames as arrays."""
    return PlayerTrack(
        found=np.array([sighting.found for sighting in sightings], np.bool_),
        place=np.array([(sighting.y, sighting.x) for sighting in sightings], np.int64).reshape(-1, 2),
        facing=np.array(
            [FACINGS.index(sighting.facing) if sighting.facing else -1 for sighting in sightings], np.int64
        ),
        pose=np.array([sighting.pose for sighting in sightings], np.int64),
        score=np.array([sighting.score for sighting in sightings], np.float32),
    )
