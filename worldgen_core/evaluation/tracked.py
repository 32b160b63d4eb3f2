"""Consecutive frames, recorded or dreamt, with camera and player tracked through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from storage.clips import ClipReader
from worldgen_core.tracking.camera import CameraTrack, track_camera
from worldgen_core.tracking.learning import learn_bank
from worldgen_core.tracking.motion import WorldMotion, world_motion
from worldgen_core.tracking.reader import SpriteReader
from worldgen_core.tracking.settings import TrackingSettings
from worldgen_core.tracking.track import PlayerTrack, track_player


@dataclass(frozen=True)
class Tracked:
    """Camera and player through consecutive frames."""

    camera: CameraTrack
    track: PlayerTrack
    world: WorldMotion

    @property
    def scene(self) -> Int64[np.ndarray, " t"]:
        """Number of the stretch between cuts and black frames that each frame belongs to."""
        return np.cumsum(self.camera.is_cut | self.camera.is_dark)

    @property
    def position(self) -> Int64[np.ndarray, "t 2"]:
        """(y, x) of the player's box in its scene's world; means nothing where it is not found."""
        return self.camera.position + self.track.place

    @property
    def is_found(self) -> Bool[np.ndarray, " t"]:
        """Where the player is found."""
        return self.track.found

    def part(self, first: int, stop: int) -> Tracked:
        """Frames `first` to `stop` - 1 alone."""
        window = slice(first, stop)
        camera, track, world = self.camera, self.track, self.world
        return Tracked(
            CameraTrack(
                camera.shift[window], camera.agreement[window], camera.is_cut[window], camera.is_dark[window]
            ),
            PlayerTrack(
                track.found[window],
                track.place[window],
                track.facing[window],
                track.pose[window],
                track.score[window],
            ),
            WorldMotion(world.motion[window], world.is_known[window]),
        )


def follow(
    frames: UInt8[np.ndarray, "t h w 3"], reader: SpriteReader, near: tuple[int, int] | None = None
) -> Tracked:
    """Track camera and player; `near` is where (x, y) the player is known to be in the first frame.

    Cost: about 3 ms a frame of 120 x 80, four times that where the player is lost.
    """
    camera = track_camera(frames, reader.settings)
    track = track_player(frames, camera, reader, near=near)
    return Tracked(camera, track, world_motion(camera, track))


def learn_reader(dataset: ClipReader, settings: TrackingSettings, *, num_frames: int) -> SpriteReader:
    """A reader that knows the player's looks from the dataset's training episodes, the first so many frames.

    Episodes are taken in turns from all sources: every so-manieth one.
    Raises: TrackingError if they do not show the player walk enough.
    """
    rows = dataset.episodes("train")
    total = sum(row.num_frames for row in rows)
    every = max(1, -(-total // num_frames))
    clips = [dataset.read(row.episode_id, 0, row.num_frames).frames for row in rows[::every]]
    return SpriteReader(learn_bank(clips, settings), settings)
