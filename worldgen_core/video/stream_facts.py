"""What a stream says of itself, as plain values; runs in the decoding process only."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from worldgen_core.video.frame_source import FrameSource
from worldgen_core.video.refusal import Refusal

_INTERLACED_FIELD_ORDERS = frozenset({2, 3, 4, 5})
_SQUARE = Fraction(1)
_FRAMES_TO_TRY = 64


def read_facts(source: FrameSource, max_pixels: int) -> dict[str, Any]:
    """Codec, size, rotation, times and problems; decodes one picture, since the rotation comes with it.

    Raises: Refusal for a picture that is too large, and if no picture can be decoded.
    """
    context = source.stream.codec_context
    _check_size(context.width, context.height, max_pixels)
    if source.index.num_packets == 0:
        raise Refusal("frames", "none, though the file has a header", "record or copy the file again")
    frame = _first_picture(source)
    _check_size(frame.width, frame.height, max_pixels)
    rotation, problems = _rotation(frame)
    ratio = context.sample_aspect_ratio
    if ratio and ratio != _SQUARE:
        problems.append(
            f"pixels are not square ({ratio.numerator}:{ratio.denominator}) and are taken as they are"
        )
    declared = source.stream.frames
    if declared and declared > source.index.num_packets:
        problems.append(f"the header declares {declared} frames, the file holds {source.index.num_packets}")
    time_base = source.stream.time_base or Fraction(0)
    return {
        "codec": context.codec.canonical_name,
        "coded_width": frame.width,
        "coded_height": frame.height,
        "rotation": rotation,
        "time_base": [time_base.numerator, time_base.denominator],
        "declared_duration_s": _declared_duration_s(source),
        "is_interlaced": context.field_order in _INTERLACED_FIELD_ORDERS or frame.interlaced_frame,
        "problems": [*source.index.problems, *problems],
    }


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not 0 < width * height <= max_pixels:
        # libav gives no size where the header's was too large for the decoder.
        found = f"{width}x{height}" if width else "larger ones, or none of a known size"
        next_step = "shrink the video, or raise limits.max_pixels"
        raise Refusal(f"pictures of at most {max_pixels} pixels", found, next_step)


def _first_picture(source: FrameSource) -> VideoFrame:
    wanted = np.arange(min(_FRAMES_TO_TRY, source.index.num_packets))
    for _, frame in source.frames(wanted):
        return frame
    reason = source.notes[0] if source.notes else "the decoder gave none"
    raise Refusal(
        "pictures", f"none among the first {wanted.size} ({reason})", "record or copy the file again"
    )


def _rotation(frame: VideoFrame) -> tuple[int, list[str]]:
    """Degrees clockwise from the display matrix, in quarter turns; what else it asks for is not done."""
    problems: list[str] = []
    clockwise = -frame.rotation % 360
    rotation = round(clockwise / 90) * 90 % 360
    if rotation != clockwise:
        problems.append(f"rotation by {clockwise} degrees is taken as {rotation}")
    # Iterating gives the data, whatever the type stubs say of a mapping.
    side_data: list[Any] = list(iter(frame.side_data))
    for matrix in (data for data in side_data if data.type == Type.DISPLAYMATRIX):
        a, b, _, c, d = np.frombuffer(memoryview(matrix), "<i4")[:5].astype(int).tolist()
        if a * d - b * c < 0:
            problems.append("the mirroring that the file asks for is not done")
    return rotation, problems


def _declared_duration_s(source: FrameSource) -> float | None:
    """The longer of what the container and the stream claim."""
    claims: list[float] = []
    if source.container.duration is not None:
        claims.append(source.container.duration / 1e6)
    if source.stream.duration is not None and source.stream.time_base is not None:
        claims.append(float(source.stream.duration * source.stream.time_base))
    return max(claims, default=None)
