"""`probe`: what a video file holds, without trusting it.

The file is checked first (`file_checks`), then demuxed in a decoding process; one picture is decoded, because
the rotation comes with it. What cannot be used raises one VideoError; what is only odd is told in `problems`.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from worldgen_core.errors import VideoError
from worldgen_core.video import wire
from worldgen_core.video.file_checks import CheckedFile, check_video
from worldgen_core.video.limit_settings import DecodeLimits
from worldgen_core.video.records import VideoFacts
from worldgen_core.video.safe_files import shown
from worldgen_core.video.worker import DecodeWorker

_JITTER_S = 0.0011
_MUCH_LONGER = 100
_MUCH_LONGER_S = 60.0
_SLACK_S = 1.0
_NO_INDICES = np.empty(0, np.int64)


def probe(
    path: Path,
    limits: DecodeLimits | None = None,
    *,
    folder: Path | None = None,
    worker: DecodeWorker | None = None,
) -> VideoFacts:
    """Facts about the first real video stream of a file.

    A link that leads out of `folder` (default: the file's own) is refused. A `worker` saves the half second
    that starting a decoding process takes, and brings its own limits.
    Raises: VideoError if the file cannot be used, in one line that says why.
    """
    file = check_video(path, folder=folder)
    if worker is not None:
        return _probe(path, file, worker)
    with DecodeWorker(limits) as own:
        return _probe(path, file, own)


def _probe(path: Path, file: CheckedFile, worker: DecodeWorker) -> VideoFacts:
    request = {"do": "probe", "path": str(file.path), "container": file.container, "num_threads": 1}
    pts = _NO_INDICES
    messages = worker.ask(shown(path.name), request, _NO_INDICES, 0)
    while True:
        try:
            kind, _, payload = next(messages)
        except StopIteration as end:
            return _facts(path, file, pts, end.value, worker.limits)
        if kind == wire.TICKS:
            pts = payload.view("<i8").astype(np.int64)


def _facts(
    path: Path, file: CheckedFile, pts: Int64[np.ndarray, " n"], answer: dict[str, Any], limits: DecodeLimits
) -> VideoFacts:
    time_base = Fraction(*answer["time_base"]) if answer["time_base"][0] > 0 else Fraction(0)
    problems = list(answer["problems"])
    span_s = _checked_span_s(path, pts, time_base, limits)
    is_constant, fps = frame_rate(pts, time_base)
    if fps > limits.max_fps:
        raise VideoError(
            shown(path.name),
            expected=f"at most {limits.max_fps:g} frames/s",
            found=f"{fps:g}",
            next_step="record again at a constant rate, or convert with ffmpeg -r",
        )
    declared_s = answer["declared_duration_s"]
    if declared_s is not None:
        problems += _duration_problems(
            path, declared_s, max(span_s, float(int(pts[-1]) * time_base)) + 1 / fps
        )
    is_turned = answer["rotation"] in (90, 270)
    width, height = answer["coded_width"], answer["coded_height"]
    return VideoFacts(
        path=path,
        container=file.container,
        codec=answer["codec"],
        width=height if is_turned else width,
        height=width if is_turned else height,
        rotation=answer["rotation"],
        time_base=time_base,
        pts=pts,
        num_demuxed=pts.size,
        declared_duration_s=declared_s,
        size_bytes=file.size_bytes,
        is_constant_rate=is_constant,
        fps=fps,
        is_interlaced=answer["is_interlaced"],
        problems=tuple(problems),
    )


def _checked_span_s(
    path: Path, pts: Int64[np.ndarray, " n"], time_base: Fraction, limits: DecodeLimits
) -> float:
    """Seconds between the first and the last frame, which must make sense."""
    # Python's integers: damaged ticks may be far apart.
    span_s = float((int(pts[-1]) - int(pts[0])) * time_base)
    if pts.size < 2:
        raise VideoError(
            shown(path.name),
            expected="at least 2 frames",
            found=f"{pts.size}",
            next_step="remove the file: a picture is no video",
        )
    if not 0 < span_s <= limits.max_duration_s:
        found = "0 frames/s: all of them are shown at once" if span_s <= 0 else f"{span_s / 3600:.0f} hours"
        raise VideoError(
            shown(path.name),
            expected=f"frames shown one after the other within {limits.max_duration_s / 3600:g} hours",
            found=found,
            next_step="record again, or convert with ffmpeg -r RATE",
        )
    return span_s


def frame_rate(pts: Int64[np.ndarray, " n"], time_base: Fraction) -> tuple[bool, float]:
    """(is the rate constant, frames/s): the mean where it is constant, else that of the median interval.

    Constant is what never strays from an even rhythm by more than a tick, or than a millisecond (and at most
    a quarter of an interval) where a container rounded the times to milliseconds on the way.
    """
    offsets = (pts - pts[0]).astype(np.float64)
    interval = offsets[-1] / (pts.size - 1)
    tick_s = float(time_base)
    tolerance = max(1.0, min(_JITTER_S / tick_s, interval / 4))
    strays = offsets - interval * np.arange(pts.size)
    # The rhythm's phase is free: only the spread around it counts.
    if np.ptp(strays) <= 2 * tolerance:
        return True, float(1 / (interval * tick_s))
    median = max(float(np.median(np.diff(pts))), interval * 1e-3)
    return False, float(1 / (median * tick_s))


def _duration_problems(path: Path, declared_s: float, held_s: float) -> list[str]:
    """A declared duration that is somewhat long is a problem (a cut-off file), a wild one an error."""
    if declared_s > held_s * _MUCH_LONGER and declared_s - held_s > _MUCH_LONGER_S:
        raise VideoError(
            shown(path.name),
            expected=f"frames for the declared {declared_s:.0f} s",
            found=f"{held_s:.2f} s of them",
            next_step="copy or record the file again; ffmpeg -i IN -c copy OUT mends a wrong header",
        )
    if declared_s > held_s * 1.05 + _SLACK_S:
        return [f"the header declares {declared_s:.1f} s, the frames last {held_s:.1f} s"]
    return []
