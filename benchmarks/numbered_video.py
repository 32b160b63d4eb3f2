"""A generated 720p video for the benchmark: something moves, and every frame carries its number as blocks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

HEIGHT, WIDTH = 720, 1280
NUM_BITS = 16
BLOCK = 40
TICKS = Fraction(1, 90_000)
_TICKS_A_FRAME = 3000


def write_numbered_video(path: Path, num_frames: int, *, is_variable: bool, seed: int = 0) -> None:
    """H.264 with B-frames, a key frame at least every two seconds, 30 frames/s or 15 to 60 at random."""
    rng = np.random.default_rng(seed)
    world = _world(rng)
    tick = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = stream.time_base = TICKS
        stream.codec_context.options = {"preset": "veryfast", "crf": "23", "bf": "3"}
        stream.codec_context.gop_size = 60
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(_draw(world, index), "rgb24")
            frame.pts, frame.time_base = tick, TICKS
            tick += int(rng.integers(1500, 6000)) if is_variable else _TICKS_A_FRAME
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_number(frame: np.ndarray) -> int:
    """The number drawn in a frame, whatever its size."""
    scale = frame.shape[1] / WIDTH
    row = frame[int(BLOCK / 2 * scale)].mean(axis=1)
    return sum(int(row[int((bit + 0.5) * BLOCK * scale)] > 128) << bit for bit in range(NUM_BITS))


def _world(rng: np.random.Generator) -> np.ndarray:
    """A map larger than the picture: soft ground and hard-edged tiles."""
    size = (4000, 1200)
    ground = cv2.resize(rng.integers(0, 256, (120, 400, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    tiles = cv2.resize(rng.integers(0, 256, (75, 250, 3), np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return ground // 2 + tiles // 2


def _draw(world: np.ndarray, index: int) -> np.ndarray:
    x = int(1200 + 1000 * np.sin(index / 50))
    y = int(240 + 200 * np.cos(index / 37))
    frame = world[y : y + HEIGHT, x : x + WIDTH].copy()
    cv2.circle(frame, (int(640 + 300 * np.sin(index / 9)), 360), 60, (200, 30, 60), -1)
    for bit in range(NUM_BITS):
        level = 255 * (index >> bit & 1)
        frame[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = level
    return frame
