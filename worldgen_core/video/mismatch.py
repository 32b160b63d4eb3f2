"""Labels that do not fit their video: how far off, since where, and which setting would mend it.

Three causes look alike in a count: labels that began earlier or later (an offset), a clock that runs fast or
slow (a difference that grows), and frames that were lost somewhere (a break). Where the onsets of motion tell
them apart (`worldgen_core.video.offset`), the message says which it is; else it names what would mend each.
"""

from __future__ import annotations

from fractions import Fraction

from worldgen_core.errors import AlignmentError
from worldgen_core.video.exact import exact_text
from worldgen_core.video.labels import FrameChanges, FrameLabels, HeldKeys, Labels
from worldgen_core.video.settings import SliceSettings

_SIMPLE_RATES = tuple(
    Fraction(*pair) for pair in ((2, 1), (1, 2), (3, 1), (1, 3), (4, 1), (1, 4), (5, 1), (1, 5))
)


def check_lengths(
    name: str, num_frames: int, duration: Fraction, labels: Labels, settings: SliceSettings
) -> None:
    """Compare labels with a video of `num_frames` frames and `duration` seconds.

    Labels a frame must be as many as the frames; changes and events must not lie beyond the video's end. An
    offset explains as many frames at either end as it has. Raises: AlignmentError.
    """
    if isinstance(labels, HeldKeys):
        _check_times(name, num_frames, duration, labels, settings)
        return
    covered = labels.num_frames / settings.clock_exact
    allowed = settings.tolerance_frames + abs(settings.offset_frames)
    if isinstance(labels, FrameLabels):
        if abs(covered - num_frames) > allowed:
            raise _wrong_count(name, num_frames, labels, settings)
    elif covered - num_frames > allowed:
        raise _beyond(name, num_frames, labels, settings)


def _wrong_count(name: str, num_frames: int, labels: FrameLabels, settings: SliceSettings) -> AlignmentError:
    covered = labels.num_frames / settings.clock_exact
    excess = round(covered - num_frames)
    more = f"{abs(excess)} {'more' if excess > 0 else 'fewer'}"
    scaled = f" (for {round(covered)} frames by clock_rate)" if settings.clock_exact != 1 else ""
    return AlignmentError(
        f"{name}: {labels.origin.name}",
        expected=f"{num_frames} labels, one a frame, within {settings.tolerance_frames} (tolerance_frames)",
        found=f"{labels.num_frames}{scaled}, {more}",
        next_step=_remedy(num_frames, labels, excess),
    )


def _remedy(num_frames: int, labels: FrameLabels, excess: int) -> str:
    ratio = Fraction(labels.num_frames, num_frames)
    simple = next((rate for rate in _SIMPLE_RATES if abs(ratio / rate - 1) < Fraction(1, 100)), None)
    if simple is not None:
        return (
            f"labels seem to be logged {float(simple):g} times a frame: set clock_rate: {exact_text(simple)} "
            "in worldgen.yaml"
        )
    if excess < 0 and labels.num_blank and abs(labels.num_blank + excess) <= max(2, labels.num_blank // 100):
        return f"{labels.num_blank} blank lines were skipped: write none where no key is held"
    began = "began later than" if excess < 0 else "began before"
    return (
        f"in worldgen.yaml: if the labels {began} the video, set offset_frames: {-excess}; if the difference "
        f"grows steadily, set clock_rate: {_decimal(ratio)}; if one of them ended early, set "
        f"tolerance_frames: {abs(excess)}"
    )


def _beyond(name: str, num_frames: int, labels: FrameChanges, settings: SliceSettings) -> AlignmentError:
    excess = round(labels.num_frames / settings.clock_exact) - num_frames
    ratio = Fraction(labels.num_frames, num_frames)
    return AlignmentError(
        f"{name}: {labels.origin.name}",
        expected=f"frame numbers below {num_frames}, within {settings.tolerance_frames} (tolerance_frames)",
        found=f"frame {labels.num_frames - 1}, {excess} frames beyond the end",
        next_step=f"in worldgen.yaml: if the labels began before the video, set offset_frames: {-excess}; "
        f"if the difference grows steadily, set clock_rate: {_decimal(ratio)}",
    )


def _check_times(
    name: str, num_frames: int, duration: Fraction, labels: HeldKeys, settings: SliceSettings
) -> None:
    interval = duration / max(num_frames, 1)
    last = Fraction(labels.last_ns, 10**9)
    shown = last / settings.clock_exact + settings.offset_frames * interval
    if shown <= duration + (settings.tolerance_frames + abs(settings.offset_frames)) * interval:
        return
    ratio = last / duration
    if ratio > 50:
        remedy = "set time_unit in worldgen.yaml: the times seem to be in a smaller unit"
    else:
        remedy = (
            f"in worldgen.yaml: if the difference grows steadily, set clock_rate: {_decimal(ratio)}; if the "
            f"labels began before the video, set offset_frames: {-round((shown - duration) / interval)}"
        )
    raise AlignmentError(
        f"{name}: {labels.origin.name}",
        expected=f"events within the video's {float(duration):.3f} s, and {settings.tolerance_frames} frames "
        "(tolerance_frames)",
        found=f"an event at {float(shown):.3f} s, {float(shown - duration):.3f} s beyond the end",
        next_step=remedy,
    )


def _decimal(ratio: Fraction) -> int | str:
    """The ratio as a setting, rounded up to six places so that nothing is left beyond the end."""
    return exact_text(max(Fraction(-(-ratio * 10**6 // 1), 10**6), Fraction(1, 10**6)))
