"""The records of video work: what a file holds, a picture, a box in it, a stretch of frames, what was lost.

Plain frozen dataclasses. A frame is named by its presentation index: its place, from 0, among all demuxed
frames of the stream in the order in which they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

StretchKind = Literal["duplicate", "frozen", "black", "cut"]
Rotation = Literal[0, 90, 180, 270]


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What demuxing says of the first real video stream of a file.

    `width` and `height` are those of the picture as it is shown, after rotation. `pts` are the presentation
    ticks of every demuxed frame, ascending; two frames may share a tick in a damaged file. `problems` are
    whole sentences about what is odd, none of which keeps the file from being used.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    rotation: int
    """Degrees clockwise by which the coded picture is turned for show: 0, 90, 180 or 270."""
    time_base: Fraction
    pts: Int64[np.ndarray, " n"]
    num_demuxed: int
    declared_duration_s: float | None
    size_bytes: int
    is_constant_rate: bool
    fps: float
    """Mean rate where it is constant, else the rate of the median interval."""
    is_interlaced: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture and its presentation index."""

    frame: UInt8[np.ndarray, "h w c"]
    index: int


class Box(NamedTuple):
    """A rectangle in pixels of the picture as it is shown."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames `first` to `last` (both included) that have something in common.

    A `cut` is one frame long: the first frame of the new scene.
    """

    kind: StretchKind
    first: int
    last: int

    @property
    def num_frames(self) -> int:
        """The number of frames, at least 1."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What became of the wanted frames once decoding has ended.

    `missing` were demuxed and wanted but could not be decoded. `corrupt` were decoded from damaged data, as
    far as the decoder noticed. `damaged` are stretches that a missing or corrupt frame spoils: from the first
    frame that may be predicted from it up to the one before the next key frame. Frames before the first key
    frame count, too.
    """

    num_wanted: int
    num_decoded: int
    missing: tuple[int, ...]
    corrupt: tuple[int, ...]
    damaged: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]
