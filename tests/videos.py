"""Small videos for tests: every frame carries its number as black and white blocks, and something moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

NUM_BITS = 12
TICKS = Fraction(1, 90_000)
Draw = Callable[[int, int, int], np.ndarray]


def numbered(index: int, height: int, width: int) -> np.ndarray:
    """A frame (h, w, 3) with its number in the top rows, on a background that moves two pixels a frame."""
    rng = np.random.default_rng(5)
    world = rng.integers(30, 220, ((height + 15) // 16, 64, 3), dtype=np.uint8)
    shown = np.roll(world.repeat(16, 0).repeat(16, 1)[:height], -2 * index, axis=1)[:, :width].copy()
    side = width // NUM_BITS
    for bit in range(NUM_BITS):
        shown[:side, bit * side : (bit + 1) * side] = 255 * (index >> bit & 1)
    shown[:side, NUM_BITS * side :] = 0
    return shown


def read_number(frame: np.ndarray) -> int:
    """The number drawn in a frame of any size; an undecodable one gives some other number."""
    side = frame.shape[1] / NUM_BITS
    row = frame[int(side / 2)].reshape(frame.shape[1], -1).mean(axis=1)
    return sum(int(row[int((bit + 0.5) * side)] > 128) << bit for bit in range(NUM_BITS))


def constant_ticks(num_frames: int, rate: Fraction = Fraction(30), start: int = 0) -> list[int]:
    """Presentation ticks of a constant rate."""
    return [start + round(i / rate / TICKS) for i in range(num_frames)]


def variable_ticks(num_frames: int, seed: int = 0) -> list[int]:
    """Intervals between 1/60 and 1/12 s."""
    steps = np.random.default_rng(seed).integers(1500, 7500, num_frames - 1)
    return [0, *np.cumsum(steps).tolist()]


def write_video(
    path: Path,
    ticks: Sequence[int],
    *,
    size: tuple[int, int] = (96, 192),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    draw: Draw = numbered,
    prepare: Callable[[VideoStream], None] | None = None,
    prepare_frame: Callable[[av.VideoFrame], None] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write one frame for each tick; B-frames are on where the codec has them."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=30)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        assert isinstance(context, VideoCodecContext)
        has_ticks = path.suffix != ".avi" and codec != "mpeg4"
        if has_ticks:
            context.time_base = TICKS
            stream.time_base = TICKS
        defaults = {"preset": "ultrafast", "bf": "2", "g": "20", "x264-params": "b-adapt=0:scenecut=0"}
        stream.codec_context.options = (
            options if options is not None else (defaults if codec == "libx264" else {})
        )
        if prepare is not None:
            prepare(stream)
        for index, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(draw(index, *size), "rgb24")
            if prepare_frame is not None:
                prepare_frame(frame)
            frame.pts, frame.time_base = (tick, TICKS) if has_ticks else (index, Fraction(1, 30))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
