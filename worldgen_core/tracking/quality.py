"""How far a track is to be trusted, measured without any truth: by what a player can and cannot do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from worldgen_core.tracking.camera import CameraTrack
from worldgen_core.tracking.motion import WorldMotion, world_motion
from worldgen_core.tracking.settings import FACINGS, STEPS, TrackingSettings
from worldgen_core.tracking.track import PlayerTrack

_MAX_JUMP = 4


@dataclass(frozen=True, slots=True)
class TrackQuality:
    """Shares are nan where there is nothing to take a share of."""

    num_frames: int
    found_share: float
    """Of the frames that are not black."""
    num_jumps: int
    """Frames in which the player is more than 4 pixels from where it just was in the world, without a cut."""
    speed_px: int
    """The commonest motion of a moving frame."""
    steady_share: float
    """Of the frames amidst a straight walk: moved by exactly `speed_px`."""
    bounded_share: float
    """Of all moving frames: moved by at most `speed_px`, both axes together; less where a walk begins or
    ends between two frames."""
    facing_share: float
    """Of the frames that move the way of a key held for three frames, this one included: face that way."""


def measure_track(
    camera: CameraTrack,
    track: PlayerTrack,
    actions: Int64[np.ndarray, " t"],
    action_names: tuple[str, ...],
    settings: TrackingSettings,
) -> TrackQuality:
    """Measure a track of consecutive frames with the action held at each."""
    world = world_motion(camera, track)
    length = np.abs(world.motion).sum(axis=1)
    moving = world.is_moving & (length <= _MAX_JUMP)
    speed = Counter(length[moving].tolist()).most_common(1)[0][0] if moving.any() else 0
    amidst = _amidst(world)
    return TrackQuality(
        num_frames=len(track.found),
        found_share=_share(track.found[~camera.is_dark]),
        num_jumps=int((length > _MAX_JUMP).sum()),
        speed_px=int(speed),
        steady_share=_share(length[amidst] == speed),
        bounded_share=_share((length <= speed)[world.is_moving]),
        facing_share=_share(_faces_key(world, track, actions, action_names, settings)),
    )


def _share(is_true: np.ndarray) -> float:
    return float(is_true.mean()) if len(is_true) else float("nan")


def _amidst(world: WorldMotion) -> Int64[np.ndarray, " n"]:
    """Frames that move as the frames before and after them do, apart from how far."""
    way = np.sign(world.motion)
    is_amidst = np.zeros(len(way), np.bool_)
    is_amidst[1:-1] = ((way[1:-1] == way[:-2]) & (way[1:-1] == way[2:])).all(axis=1)
    return np.flatnonzero(is_amidst & world.is_moving)


def _faces_key(
    world: WorldMotion,
    track: PlayerTrack,
    actions: Int64[np.ndarray, " t"],
    action_names: tuple[str, ...],
    settings: TrackingSettings,
) -> np.ndarray:
    """For each frame that moves the way of a held key: whether the player faces that way."""
    rows = []
    for action, name in enumerate(action_names):
        facing = settings.movement.get(name)
        if facing is None:
            continue
        held = np.zeros(len(actions), np.bool_)
        is_key = actions == action
        # this frame's key too, though its effect is still to come: some games turn the player at once
        held[2:] = is_key[2:] & is_key[1:-1] & is_key[:-2]
        goes = (np.sign(world.motion) == STEPS[facing]).all(axis=1)
        rows.append(track.facing[held & goes] == FACINGS.index(facing))
    return np.concatenate(rows) if rows else np.zeros(0, np.bool_)
