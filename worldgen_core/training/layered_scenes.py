"""Takes recorded episodes apart for the `layered` model: into a world without a player, and a player.

A scene is a stretch of an episode between cuts and black frames, in one system of world coordinates. Camera,
player and what is behind it come from worldgen_core/tracking; here they are joined, cut at the borders of
scenes, and put on the grid of tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from storage.clips import ClipReader
from storage.records import Episode, Split
from worldgen_core.errors import TrackingError
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.tracking.camera import CameraTrack, track_camera
from worldgen_core.tracking.layers import erase_player
from worldgen_core.tracking.learning import learn_bank
from worldgen_core.tracking.motion import world_motion
from worldgen_core.tracking.reader import SpriteReader
from worldgen_core.tracking.settings import TrackingSettings
from worldgen_core.tracking.sprites import SpriteBank
from worldgen_core.tracking.track import PlayerTrack, track_player

MIN_FRAMES = 8
"""Shorter stretches between two cuts tell nothing."""
_MIN_RESTS = 3
"""Frames of rest from which on a scene's own player tells where the grid is."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One stretch of an episode between cuts and black frames, in one system of world coordinates."""

    episode_id: str
    first: int
    """Index of its first frame in the episode."""
    frames: UInt8[np.ndarray, "t h w 3"]
    """Without the player."""
    is_known: Bool[np.ndarray, "t h w"]
    """False behind a player that was never seen elsewhere."""
    camera: Int64[np.ndarray, "t 2"]
    """World (y, x) of the screen's upper left pixel; (0, 0) in the scene's first frame."""
    grid: Int64[np.ndarray, " 2"]
    """World (y, x), modulo a tile, of the corner that a resting player's box has; -1 where nobody rested."""
    found: Bool[np.ndarray, " t"]
    place: Int64[np.ndarray, "t 2"]
    """Screen (y, x) of the player's box; -1 where it is not found."""
    facing: Int64[np.ndarray, " t"]
    pose: Int64[np.ndarray, " t"]
    motion: Int64[np.ndarray, "t 2"]
    """The player's, in the world, from the frame before to this one; 0 where not known."""
    motion_known: Bool[np.ndarray, " t"]
    action: Int64[np.ndarray, " t"]
    """`action[t]` first shows in frame t + 1."""
    ends_in_cut: bool
    """Whether a cut or a fade follows, rather than the end of the episode."""

    @property
    def is_on_grid(self) -> bool:
        """Whether the player's rests told where the grid is."""
        return bool((self.grid >= 0).all())


@dataclass(frozen=True, slots=True)
class Tracked:
    """An episode with its tracks."""

    episode: Episode
    camera: CameraTrack
    player: PlayerTrack


def track_episodes(
    reader: ClipReader,
    split: Split,
    settings: TrackingSettings,
    *,
    bank: SpriteBank | None = None,
    num_threads: int,
    progress: Progress,
) -> tuple[list[Tracked], SpriteBank]:
    """Learn what the player looks like from the episodes of a split, and follow it through them.

    A `bank` that is given is taken instead of learning one.

    Cost: some 5 ms a frame of 120 x 80 on one core; all frames of the split are held in memory.
    Raises: TrackingError if the camera does not scroll, or no player can be told from the world.
    """
    rows = reader.episodes(split)
    with ThreadPoolExecutor(num_threads) as pool:
        episodes = list(pool.map(lambda row: reader.read_episode(row.episode_id), rows))
        cameras = list(pool.map(lambda episode: track_camera(episode.frames, settings), episodes))
        if bank is None:
            bank = learn_bank([episode.frames for episode in episodes], settings, cameras)
        sprites = SpriteReader(bank, settings)
        done: list[Tracked] = []
        follow = partial(_follow, sprites)
        for tracked in pool.map(follow, episodes, cameras):
            done.append(tracked)
            progress(ProgressEvent("episodes tracked", len(done), len(episodes)))
    return done, bank


def _follow(sprites: SpriteReader, episode: Episode, camera: CameraTrack) -> Tracked:
    return Tracked(episode, camera, track_player(episode.frames, camera, sprites))


def find_scenes(tracked: Sequence[Tracked], bank: SpriteBank, settings: TrackingSettings) -> list[Scene]:
    """Cut tracked episodes into scenes.

    Raises: TrackingError if there is not one in which the player rests: nothing tells where tiles begin.
    """
    scenes = [scene for one in tracked for scene in _scenes_of(one, bank, settings)]
    if not any(scene.is_on_grid for scene in scenes):
        raise TrackingError(
            "the grid of tiles: the player never rests",
            expected=f"stretches of at least {MIN_FRAMES} frames in which the player is found and rests",
            found=f"{len(scenes)} stretches without a rest",
            next_step="give longer footage, or look at it with `worldgen doctor DIR`: is it full of cuts?",
        )
    return scenes


def _scenes_of(tracked: Tracked, bank: SpriteBank, settings: TrackingSettings) -> list[Scene]:
    episode, camera, player = tracked.episode, tracked.camera, tracked.player
    frames, is_known = erase_player(episode.frames, camera, player, bank)
    world = world_motion(camera, player)
    scenes: list[Scene] = []
    for start, stop in stretches(camera):
        span = slice(start, stop)
        shift = camera.shift[span].copy()
        shift[0] = 0
        motion, motion_known = world.motion[span].copy(), world.is_known[span].copy()
        motion[0], motion_known[0] = 0, False
        place, position = player.place[span], np.cumsum(shift, axis=0)
        is_rest = motion_known & (motion == 0).all(axis=1)
        scenes.append(
            Scene(
                episode_id=episode.episode_id,
                first=start,
                frames=frames[span],
                is_known=is_known[span],
                camera=position,
                grid=_commonest((position + place)[is_rest] % settings.tile_px),
                found=player.found[span],
                place=place,
                facing=player.facing[span],
                pose=player.pose[span],
                motion=motion,
                motion_known=motion_known,
                action=episode.action[span],
                ends_in_cut=stop < len(frames),
            )
        )
    return scenes


def stretches(camera: CameraTrack) -> list[tuple[int, int]]:
    """(start, stop) of every run of at least `MIN_FRAMES` frames without a cut or a black frame."""
    is_border = camera.is_cut | camera.is_dark
    starts = np.flatnonzero(~camera.is_dark & (is_border | np.concatenate([[True], camera.is_dark[:-1]])))
    found: list[tuple[int, int]] = []
    for start in starts.tolist():
        ends = np.flatnonzero(is_border[start + 1 :])
        stop = start + 1 + int(ends[0]) if len(ends) else len(is_border)
        if stop - start >= MIN_FRAMES:
            found.append((start, stop))
    return found


def _commonest(phases: Int64[np.ndarray, "n 2"]) -> Int64[np.ndarray, " 2"]:
    if len(phases) < _MIN_RESTS:
        return np.full(2, -1, np.int64)
    values, counts = np.unique(phases, axis=0, return_counts=True)
    return values[counts.argmax()]


def usual_speed(scenes: Sequence[Scene]) -> int:
    """Pixels that a moving player mostly goes in a frame.

    Raises: TrackingError if it never moves.
    """
    lengths = np.concatenate([np.abs(scene.motion[scene.motion_known]).sum(axis=1) for scene in scenes])
    moving = lengths[lengths > 0]
    if not len(moving):
        raise TrackingError(
            "the player's speed: it never moves",
            expected="walks in the training episodes",
            found="none",
            next_step="check the labels with `worldgen doctor DIR`, or train `--model direct`",
        )
    return int(np.bincount(moving).argmax())
