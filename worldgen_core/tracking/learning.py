"""Learns a bank from footage, in one call: the home box, the poses, and from which score on to believe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from worldgen_core.errors import TrackingError
from worldgen_core.tracking.camera import CameraTrack, track_camera
from worldgen_core.tracking.player_box import Footage, find_player_box, spread
from worldgen_core.tracking.reader import SpriteReader
from worldgen_core.tracking.settings import TrackingSettings
from worldgen_core.tracking.sprites import SpriteBank, build_poses

_NUM_FRAMES = 48
_LEAST, _MOST = 0.5, 0.9
"""Bounds of the score demanded anywhere in a frame."""
_LEAST_NEAR = 0.4


def learn_bank(
    clips: list[UInt8[np.ndarray, "_ h w 3"]],
    settings: TrackingSettings,
    cameras: list[CameraTrack] | None = None,
) -> SpriteBank:
    """What the player looks like, from clips of consecutive frames; `cameras` where they are known already.

    Deterministic in clips and settings.
    Raises: TrackingError if the camera does not scroll, or nothing stays in place while it does.
    """
    if not settings.scrolls:
        raise TrackingError(
            "the player's looks: the camera is said not to scroll",
            expected="a game whose camera follows the player",
            found="tracking.scrolls is off",
            next_step="set tracking.scrolls, or track the player by other means",
        )
    tracks = cameras if cameras is not None else [track_camera(clip, settings) for clip in clips]
    footages = [Footage(clip, track) for clip, track in zip(clips, tracks, strict=True)]
    bank = build_poses(footages, find_player_box(footages, settings), settings)
    return calibrate(bank, footages, settings)


def calibrate(bank: SpriteBank, footages: list[Footage], settings: TrackingSettings) -> SpriteBank:
    """Set the scores from which a sighting counts, between those of the player and those of anything else.

    In scrolling frames the best place is mostly the player, and the second best something else; in some it
    is the other way round (the player is hidden, a second person is dressed alike).
    """
    reader = SpriteReader(bank, settings)
    rng = np.random.default_rng(settings.seed)
    best, other, near = [], [], []
    for footage, index in spread(footages, _NUM_FRAMES):
        frame = footage.frames[index]
        first, second = reader.score_twice(frame)
        best.append(first)
        other.append(second)
        near.append(reader.score_near(frame, _elsewhere(bank, frame.shape[:2], rng)))
    anywhere = (np.percentile(best, 10) + np.percentile(other, 90)) / 2
    anywhere = float(np.clip(anywhere, _LEAST, _MOST))
    close = float(np.clip(np.percentile(near, 95), _LEAST_NEAR, anywhere))
    return replace(bank, min_score=np.array([anywhere, close], np.float32))


def _elsewhere(bank: SpriteBank, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """A place (x, y) that does not touch the home box."""
    box = bank.box
    for _ in range(100):
        y, x = (int(rng.integers(0, whole - own)) for whole, own in zip(size, box[2:], strict=True))
        if abs(y - box.y) > 2 * box.height or abs(x - box.x) > 2 * box.width:
            break
    return x, y  # pyright: ignore[reportPossiblyUnboundVariable] (the loop runs at least once)
