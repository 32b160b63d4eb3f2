"""What an estimated lag says about a video's labels, and which settings would mend it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from worldgen_core.errors import AlignmentError
from worldgen_core.video.exact import exact_text
from worldgen_core.video.offset import OffsetEstimate
from worldgen_core.video.settings import SliceSettings

USUAL_LATENCY = (1, 3)
"""Frames from key-down to motion where a game's latency is not declared."""
UNNOTICED_FRAMES = 4
"""So far beyond the usual latency a lag is not told from a slow game's."""
DECLARED_UNNOTICED_FRAMES = 1
"""So far from the declared latency a lag may be by the way it is read."""


@dataclass(frozen=True, slots=True)
class OffsetJudgement:
    """`shifted`, `drifting` and `broken` are findings; `unknown` says that there is too little to see."""

    kind: Literal["fits", "shifted", "drifting", "broken", "unknown"]
    message: str
    """What was found, in one sentence."""
    next_step: str
    """Which settings would mend it, "" where nothing is to be mended."""
    offset_frames: int | None = None
    """The setting that would mend it, if one would."""
    clock_rate: int | str | None = None
    """The setting that would mend it, if one would."""

    @property
    def is_problem(self) -> bool:
        """Whether labels and video do not belong together as they are."""
        return self.kind in ("shifted", "drifting", "broken")


def judge(estimate: OffsetEstimate, settings: SliceSettings, *, fps: float = 30.0) -> OffsetJudgement:
    """Say whether the labels fit, given the settings that they were aligned by; `fps` is the video's."""
    evidence = _evidence(estimate)
    if estimate.lag is None or not estimate.is_reliable:
        return OffsetJudgement("unknown", f"the offset cannot be told: {evidence}", "")
    if estimate.break_frame is not None:
        return _broken(estimate, evidence)
    low, high, unnoticed = _expected(settings, fps)
    excess = estimate.lag - high if estimate.lag > high else min(estimate.lag - low, 0)
    if estimate.growth_frames:
        return _drifting(estimate, settings, evidence, low)
    if abs(excess) <= unnoticed:
        return OffsetJudgement("fits", f"motion follows the keys by {_frames(estimate.lag)}: {evidence}", "")
    shift = estimate.lag - low
    offset = settings.offset_frames + shift
    about = "" if low == high else "about "
    sense = "early" if shift > 0 else "late"
    return OffsetJudgement(
        "shifted",
        f"labels come {about}{_frames(abs(shift))} too {sense}: motion follows the keys by "
        f"{_frames(estimate.lag)} where {_range(low, high)} expected; {evidence}",
        f"write videos: {{NAME: {{offset_frames: {offset}}}}} in worldgen.yaml",
        offset_frames=offset,
    )


def with_evidence(error: AlignmentError, judgement: OffsetJudgement) -> AlignmentError:
    """The same error with what the onsets of motion say, where they say something."""
    if not judgement.is_problem:
        return error
    return AlignmentError(
        error.what,
        expected=error.expected,
        found=f"{error.found}; {judgement.message}",
        next_step=judgement.next_step or error.next_step,
    )


def _expected(settings: SliceSettings, fps: float) -> tuple[int, int, int]:
    """Least and greatest lag, and the deviation that is not noticed."""
    declared = settings.onset_latency_frames
    if declared is not None:
        return declared, declared, DECLARED_UNNOTICED_FRAMES
    low, high = USUAL_LATENCY
    return low, max(high, round(high * fps / 30)), UNNOTICED_FRAMES


def _broken(estimate: OffsetEstimate, evidence: str) -> OffsetJudgement:
    before, after = estimate.lag_before or 0, estimate.lag_after or 0
    lost = "labels" if after > before else "frames"
    return OffsetJudgement(
        "broken",
        f"the lag jumps from {before} to {after} frames by frame {estimate.break_frame}: "
        f"{abs(after - before)} {lost} seem to be missing before it; {evidence}",
        "split video and labels there, or leave the video out (ignore: true in worldgen.yaml)",
    )


def _drifting(
    estimate: OffsetEstimate, settings: SliceSettings, evidence: str, expected: int
) -> OffsetJudgement:
    """The lag is `middle + growth * (place - 1/2)`: a line through it gives both settings."""
    slope = Fraction(estimate.growth_frames) / max(estimate.num_frames, 1)
    rate = settings.clock_exact / (1 + slope)
    at_start = (estimate.lag or 0) - estimate.growth_frames / 2
    offset = round(settings.offset_frames * (1 + float(slope)) + at_start - expected)
    text = exact_text(Fraction(round(rate * 10**6), 10**6))
    return OffsetJudgement(
        "drifting",
        f"the lag grows steadily, by {estimate.growth_frames:+.1f} frames over the video: {evidence}",
        f"write videos: {{NAME: {{clock_rate: {text}, offset_frames: {offset}}}}} in worldgen.yaml",
        offset_frames=offset,
        clock_rate=text,
    )


def _evidence(estimate: OffsetEstimate) -> str:
    if estimate.vote is None:
        return f"{estimate.num_key_downs} key-downs, no onset of motion near one"
    return (
        f"{estimate.vote.num_agreeing} of {estimate.vote.num_onsets} onsets of motion agree "
        f"({estimate.confidence:.0%}), {estimate.num_key_downs} key-downs"
    )


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _range(low: int, high: int) -> str:
    return f"{low} is" if low == high else f"{low} to {high} are"
