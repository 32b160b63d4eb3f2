"""Records the overworld as a folder of videos and action files, so that everything can be tried at once.

The folder has the form that the recipe for real footage asks for: `NAME.mp4` beside `NAME.txt`, one action
name a line, line i = frame i, that is: what was pressed while frame i was to be seen. All videos show one
world; the player's seeds differ, and each goes where those before have been least. A recording can be
simulated again from `plan_sample`.

Native pixels are doubled, so 4:2:0 video loses no colour: a chroma sample covers exactly one native pixel.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from jaxtyping import UInt8

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Frame
from worldgen_core.games.overworld_map import World
from worldgen_core.games.overworld_player import Books, ScriptedPlayer
from worldgen_core.games.overworld_render import NATIVE_HEIGHT, NATIVE_WIDTH
from worldgen_core.games.overworld_simulator import (
    ACTION_NAMES,
    TICKS_PER_SECOND,
    Situation,
    render,
    start_of,
    tick,
)
from worldgen_core.games.overworld_town import make_world
from worldgen_core.progress import Progress, ProgressEvent, silent
from worldgen_core.seeds import derive_seed

NUM_FRAMES = 11_240
"""Frames a video at 30 a second: at 15 a second seven episodes of 800, and a second to spare."""
TICKS_PER_DECISION = 2
"""The player changes keys at every second frame, so that 15 frames a second lose nothing of them."""
_ENLARGED = 2
_ENCODER = {
    "crf": "18",
    "preset": "veryfast",
    "g": "150",
    # The picture moves by whole pixels, so a plain search finds everything: twice as fast, and no worse.
    "x264-params": "subme=0:ref=1:me=dia:trellis=0:aq-mode=0:bframes=3:b-adapt=0:weightb=0:rc-lookahead=10",
}


@dataclass(frozen=True)
class SampleVideo:
    """One recording to be made: its name, the player's seed, where it starts."""

    name: str
    player_seed: int
    start: Situation


@dataclass(frozen=True)
class SamplePlan:
    """All that a sample depends on."""

    world: World
    videos: tuple[SampleVideo, ...]
    num_frames: int


class Moment(NamedTuple):
    """A frame's situation, and the action pressed while it is shown."""

    situation: Situation
    action: int


def plan_sample(*, seed: int = 0, num_videos: int = 3, num_frames: int = NUM_FRAMES) -> SamplePlan:
    """What a sample of this seed will show; its world is `make_world(seed)`."""
    world = make_world(seed)
    seeds = [derive_seed(seed, "sample", index) for index in range(num_videos)]
    videos = [
        SampleVideo(f"town-{index}", player_seed, start_of(world, player_seed))
        for index, player_seed in enumerate(seeds, start=1)
    ]
    return SamplePlan(world, tuple(videos), num_frames)


def play_sample(plan: SamplePlan) -> Iterator[tuple[SampleVideo, list[Moment]]]:
    """Play the recordings in turn, without drawing."""
    books = Books()
    for video in plan.videos:
        player = ScriptedPlayer(plan.world, video.player_seed, books=books)
        situation, action, moments = video.start, 0, []
        for index in range(plan.num_frames):
            if index % TICKS_PER_DECISION == 0:
                action = player.act(situation)
            moments.append(Moment(situation, action))
            situation = tick(plan.world, situation, action)
        yield video, moments


def make_sample(
    folder: Path,
    *,
    seed: int = 0,
    num_videos: int = 3,
    num_frames: int = NUM_FRAMES,
    progress: Progress = silent,
) -> tuple[Path, ...]:
    """Record a sample into a new or empty folder; returns the videos' paths.

    `num_frames` is a video's length at 30 frames a second. Action files are the same bytes for the same seed
    everywhere; videos show the same frames. The folder appears whole or not at all.

    Raises: ConfigError if the folder holds anything.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(
            f"folder for the sample {target}",
            expected="a new or an empty folder",
            found="a file" if not target.is_dir() else "files in it",
            next_step="name another folder, or empty this one",
        )
    plan = plan_sample(seed=seed, num_videos=num_videos, num_frames=num_frames)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _record(work, plan, progress)
        work.chmod(0o755)
        # Replaces an empty folder, and fails if somebody has filled it meanwhile.
        work.replace(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return tuple(target / f"{video.name}.mp4" for video in plan.videos)


def _record(folder: Path, plan: SamplePlan, progress: Progress) -> None:
    """Play one after the other, encode side by side: the encoder does most of the work, outside Python."""
    with ThreadPoolExecutor(min(len(plan.videos), os.cpu_count() or 1)) as pool:
        futures = []
        for video, moments in play_sample(plan):
            lines = "".join(f"{ACTION_NAMES[moment.action]}\n" for moment in moments)
            (folder / f"{video.name}.txt").write_text(lines, encoding="ascii", newline="\n")
            frames = (render(plan.world, moment.situation) for moment in moments)
            futures.append(pool.submit(write_video, folder / f"{video.name}.mp4", frames))
        for num_done, future in enumerate(futures, start=1):
            future.result()
            progress(ProgressEvent("videos", num_done, len(futures)))


def write_video(path: Path, frames: Iterator[Frame]) -> None:
    """Write native frames as an H.264 video of twice their size, 30 frames a second."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=TICKS_PER_SECOND, options=_ENCODER)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = NATIVE_WIDTH * _ENLARGED, NATIVE_HEIGHT * _ENLARGED
        stream.pix_fmt = "yuv420p"
        # One thread: the same bytes on every machine with this encoder.
        stream.thread_count = 1
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(_planes(frame), format="yuv420p")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


_TO_YUV = np.array(
    [
        [65.481, 128.553, 24.966, 16 * 255],
        [-37.797, -74.203, 112.0, 128 * 255],
        [112.0, -93.786, -18.214, 128 * 255],
    ]
)
"""BT.601 in its limited range, as small videos are taken to be; in 255ths."""


def _planes(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "rows columns"]:
    """Planes of luma, twice the frame's size, and of chroma, of the frame's own size."""
    luma, *chroma = cv2.split(cv2.transform(frame, _TO_YUV / 255))
    large = cv2.resize(luma, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_NEAREST)
    return np.concatenate([large, *(plane.reshape(-1, large.shape[1]) for plane in chroma)])
