"""Which frame of the video, and which action, belongs to each picture of an episode: integers only.

The rule: picture k is due k / rate seconds after the video's first frame. It is the last frame shown by then,
and its action is the one held then. Times are compared as integers, crosswise multiplied; nothing is a float.
Containers round time stamps to their ticks (Matroska to milliseconds), so a frame counts as shown up to one
tick before its stamp, but never more than a millisecond.

Frames are never made up. Where the wanted rate is the video's own (within a hundredth) and no frame is
missing, the pictures are the video's own frames, one for one; where a video of variable rate shows one frame
for longer than a picture lasts, that frame is taken again, because it is what the screen showed.

Label line j belongs to frame i where j = (i - offset_frames) * clock_rate: the nearest line while the clock
rate is within two hundredths of 1 (two clocks that drift), else the last line by then (labels logged at
another rate). Frames without a line, at either end, are left out. Times of held keys follow the same two
settings; an event counts from half a unit before its stamp on (2367 ms is 2366.5 ms), as it was rounded too.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int64

from worldgen_core.errors import AlignmentError, ConfigError
from worldgen_core.video.labels import FrameChanges, HeldKeys, Labels
from worldgen_core.video.mismatch import check_lengths
from worldgen_core.video.settings import SliceSettings

NO_LABEL = -1
"""Action of a frame that no label line belongs to."""

_NS = 10**9
_INT64_LIMIT = 2**62
_SHOWN_EARLY = Fraction(1, 1_000)
_SAME_RATE = Fraction(101, 100)
_DRIFT = Fraction(1, 50)


@dataclass(frozen=True, eq=False, slots=True)
class Aligned:
    """T pictures with their actions; all arrays have one entry a picture.

    `source_frame` is the index into the video's frames; it never falls, and rises strictly unless a frame was
    shown for longer than a picture lasts. `pts` is that frame's time stamp. `first_tick` is the number of the
    first picture that has a label: picture t is due (first_tick + t) / rate seconds after the first frame.
    """

    source_frame: Int64[np.ndarray, " t"]
    pts: Int64[np.ndarray, " t"]
    action: Int64[np.ndarray, " t"]
    first_tick: int
    num_unlabelled: int
    """Pictures at either end that were left out for want of a label."""


@dataclass(frozen=True, eq=False, slots=True)
class Clock:
    """When each frame of a video is shown: `ticks * unit` seconds after the first one."""

    ticks: Int64[np.ndarray, " n"]
    unit: Fraction

    @property
    def interval(self) -> Fraction:
        """Seconds from frame to frame: the mean of the usual steps, so that rounded stamps do not matter."""
        if len(self.ticks) < 2:
            return Fraction(1)
        steps = np.diff(self.ticks)
        median = int(np.sort(steps)[len(steps) // 2])
        usual = steps[(steps > median // 2) & (steps <= median + median // 2)]
        if not len(usual):
            return max(median, 1) * self.unit
        return Fraction(int(usual.sum()), len(usual)) * self.unit

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return int(self.ticks[-1]) * self.unit + self.interval

    @property
    def slack(self) -> Fraction:
        """How long before its stamp a frame may have been shown."""
        return min(self.unit, _SHOWN_EARLY)


def align(
    pts: Int64[np.ndarray, " n"], time_base: Fraction, labels: Labels, settings: SliceSettings, *, name: str
) -> Aligned:
    """Choose frame and action for every picture of the video `name`.

    Raises: AlignmentError if labels and frames differ in length by more than `tolerance_frames`, or if the
    time stamps are unusable; ConfigError if the rate is above the video's.
    """
    clock = make_clock(pts, time_base, settings, name=name)
    check_lengths(name, len(pts), clock.duration, labels, settings)
    frames, times = _pictures(clock, settings, name)
    action = _actions(labels, settings, clock, frames, times)
    labelled = np.flatnonzero(action != NO_LABEL)
    if not len(labelled):
        raise AlignmentError(
            name,
            expected="labels for some of the frames",
            found=f"none: offset_frames {settings.offset_frames} moves all of them out of the video",
            next_step="correct offset_frames in worldgen.yaml",
        )
    first, last = int(labelled[0]), int(labelled[-1]) + 1
    frames, action = frames[first:last], action[first:last]
    return Aligned(frames, pts[frames], action, first, len(times) - len(action))


def frame_actions(
    pts: Int64[np.ndarray, " n"], time_base: Fraction, labels: Labels, settings: SliceSettings, *, name: str
) -> Int64[np.ndarray, " n"]:
    """The action of every frame of the video, NO_LABEL where there is none; lengths are not compared.

    For estimates of the offset: `worldgen_core.video.offset` wants to see labels that do not fit as well.
    """
    clock = make_clock(pts, time_base, settings, name=name)
    return _actions(labels, settings, clock, np.arange(len(pts)), _Times(clock.ticks, clock.unit))


def make_clock(
    pts: Int64[np.ndarray, " n"], time_base: Fraction, settings: SliceSettings, *, name: str
) -> Clock:
    """When the frames are shown: by their time stamps, or evenly where `source_fps` is set.

    Raises: AlignmentError if there are no frames, or time stamps fall.
    """
    if len(pts) == 0:
        raise AlignmentError(
            name, expected="at least one frame", found="none", next_step="leave the video out"
        )
    if settings.source_fps_exact is not None:
        return Clock(np.arange(len(pts), dtype=np.int64), 1 / settings.source_fps_exact)
    falls = np.flatnonzero(pts[1:] < pts[:-1])
    span = int(pts[-1]) - int(pts[0])
    if len(falls) or time_base <= 0 or span >= _INT64_LIMIT:
        where = int(falls[0]) + 1 if len(falls) else 0
        raise AlignmentError(
            f"{name}, frame {where}",
            expected="time stamps that rise",
            found=f"{int(pts[where])} after {int(pts[max(where - 1, 0)])} in units of {time_base} s",
            next_step="set fps in worldgen.yaml, so that time stamps do not count",
        )
    return Clock(pts - pts[0], time_base)


@dataclass(frozen=True, eq=False, slots=True)
class _Times:
    """Moments `ticks * unit` seconds after the first frame."""

    ticks: Int64[np.ndarray, " t"]
    unit: Fraction

    def __len__(self) -> int:
        return len(self.ticks)


def _pictures(clock: Clock, settings: SliceSettings, name: str) -> tuple[Int64[np.ndarray, " t"], _Times]:
    """Frame and due time of every picture."""
    rate, interval = settings.rate_exact, clock.interval
    if len(clock.ticks) > 1 and rate * interval > _SAME_RATE:
        fps = 1 / interval
        raise ConfigError(
            "setting slices.rate",
            expected=f"at most the rate of {name}, {float(fps):.6g} frames a second",
            found=str(settings.rate),
            next_step=f"set slices.rate={int(fps)} or less; pictures are never made up",
        )
    if _has_own_rate(clock, rate):
        return np.arange(len(clock.ticks)), _Times(clock.ticks, clock.unit)
    num_pictures = int(int(clock.ticks[-1]) * clock.unit * rate) + 1
    if num_pictures > settings.limits.decode.max_frames:
        _fail_for_gap(clock, settings, name, num_pictures)
    due = _Times(np.arange(num_pictures, dtype=np.int64), 1 / rate)
    return _last_by(clock.ticks, clock.unit, due, clock.slack), due


def _has_own_rate(clock: Clock, rate: Fraction) -> bool:
    """Whether the video's own frames are the pictures: its rate is the wanted one and no frame is missing."""
    if len(clock.ticks) < 2:
        return True
    if rate * clock.interval < 1 / _SAME_RATE:
        return False
    longest = int(np.diff(clock.ticks).max()) * clock.unit
    mean = int(clock.ticks[-1]) * clock.unit / (len(clock.ticks) - 1)
    return 2 * longest * rate < 3 and rate * mean >= 1 / _SAME_RATE


def _fail_for_gap(clock: Clock, settings: SliceSettings, name: str, num_pictures: int) -> None:
    where = int(np.diff(clock.ticks).argmax())
    gap = float((int(clock.ticks[where + 1]) - int(clock.ticks[where])) * clock.unit)
    raise AlignmentError(
        f"{name}, frame {where + 1}",
        expected=f"time stamps that give at most {settings.limits.decode.max_frames} pictures",
        found=f"{num_pictures}; the longest gap is {gap:.6g} s, before this frame",
        next_step="set fps in worldgen.yaml, so that time stamps do not count",
    )


def _last_by(
    ticks: Int64[np.ndarray, " n"], unit: Fraction, due: _Times, slack: Fraction
) -> Int64[np.ndarray, " t"]:
    """Index of the last of `ticks * unit` that is at most each due time plus `slack`; -1 if there is none."""
    scale = _common_denominator(unit, due.unit, slack)
    left, right, early = (int(part * scale) for part in (unit, due.unit, slack))
    largest = max(_largest(ticks) * left, _largest(due.ticks) * right + abs(early))
    kind = np.int64 if largest < _INT64_LIMIT else object
    haystack, needles = ticks.astype(kind) * left, due.ticks.astype(kind) * right + early
    return np.searchsorted(haystack, needles, side="right").astype(np.int64) - 1


def _actions(
    labels: Labels, settings: SliceSettings, clock: Clock, frames: Int64[np.ndarray, " t"], due: _Times
) -> Int64[np.ndarray, " t"]:
    """The action of each picture, NO_LABEL where no line belongs to it."""
    if isinstance(labels, HeldKeys):
        return _held_then(labels, settings, clock, due)
    line = label_lines(frames, settings)
    if isinstance(labels, FrameChanges):
        change = np.searchsorted(labels.frame, line, side="right") - 1
        return _or_nothing(labels.action, change)
    index = line - labels.first_frame
    known = (index >= 0) & (index < len(labels.action))
    action = np.full(len(line), NO_LABEL, np.int64)
    action[known] = labels.action[index[known]]
    return action


def label_lines(frames: Int64[np.ndarray, " t"], settings: SliceSettings) -> Int64[np.ndarray, " t"]:
    """The label line of each frame; may lie before the first or after the last one."""
    rate, shifted = settings.clock_exact, frames - settings.offset_frames
    if rate == 1:
        return shifted
    drifts = abs(rate - 1) <= _DRIFT
    above, below = rate.numerator * (2 if drifts else 1), rate.denominator * (2 if drifts else 1)
    kind = np.int64 if (_largest(shifted) + 1) * above + below < _INT64_LIMIT else object
    return ((shifted.astype(kind) * above + (rate.denominator if drifts else 0)) // below).astype(np.int64)


def _held_then(
    labels: HeldKeys, settings: SliceSettings, clock: Clock, due: _Times
) -> Int64[np.ndarray, " t"]:
    """The action held at each due time, by the labels' clock: (time - offset) * clock_rate."""
    rate = settings.clock_exact
    offset = settings.offset_frames * clock.interval
    early = Fraction(min(labels.resolution_ns, _NS // 1_000), 2 * _NS) + min(clock.unit, _SHOWN_EARLY) / 2
    by_labels = _Times(due.ticks, due.unit * rate)
    change = _last_by(labels.time_ns, Fraction(1, _NS), by_labels, early - offset * rate)
    return _or_nothing(labels.action, change)


def _or_nothing(action: Int64[np.ndarray, " m"], change: Int64[np.ndarray, " t"]) -> Int64[np.ndarray, " t"]:
    """The action after each change; 0 before the first one."""
    return np.concatenate([np.zeros(1, np.int64), action])[change + 1]


def _common_denominator(*values: Fraction) -> int:
    scale = Fraction(1)
    for value in values:
        scale *= (value * scale).denominator
    return int(scale)


def _largest(values: Int64[np.ndarray, " n"]) -> int:
    return max(abs(int(values.min())), abs(int(values.max()))) if len(values) else 0
