"""Estimates whether labels are shifted against their video, from key-downs and the onset of motion.

A key that goes down while the picture is at rest starts a motion a few frames later, always the same number:
the lag. Correlating all motion with all held keys is flat over several frames; the onsets out of rest are
sharp. So every onset of motion (a frame above a threshold after some frames below it) votes for its distance
to each key-down within a window of frames; key-downs that start nothing (blocked ways, dialogs, fades) and
motion that no key started only add votes that agree on nothing.

A lag that grows steadily is an error of the clock rate; one that jumps is a break: frames or labels were lost
there. What the lag should be, `judgement.py` knows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int64

from worldgen_core.video.onsets import (
    LagVote,
    Pairs,
    agreement,
    key_downs,
    motion_onsets,
    pair_up,
    thresholds,
    vote_on,
)

WINDOW_FRAMES = 20
"""Onsets count for key-downs at most so many frames away."""
WIDE_WINDOW_FRAMES = 150
"""Searched where the narrow window holds no agreement."""

_MIN_AGREEING = 5
_MIN_SHARE = 0.3
_MIN_PER_SIDE = 10
"""Onsets that must agree on each side of a jump."""
_CLEAR_SHARE = 0.5
"""Of the onsets, for explanations that have more than one number, and to look no further."""
_MAX_GROWTH_FRAMES = 40

_MAX_CHANCE = 1e-3


@dataclass(frozen=True, eq=False, slots=True)
class OffsetEstimate:
    """The lag from key-down to onset of motion, and the evidence for it.

    `vote.lag` is in frames; None stands for labels or pictures without an onset. `is_reliable` says that so
    many onsets agree that chance is no explanation. `histogram[i]` counts pairs of key-down and onset at a
    distance of `i - window` frames; `onset_frame` and `onset_lag` are those pairs, for plots.
    """

    num_frames: int
    num_key_downs: int
    vote: LagVote | None
    is_reliable: bool
    window: int
    threshold: float
    histogram: Int64[np.ndarray, " b"]
    onset_frame: Int64[np.ndarray, " p"]
    onset_lag: Int64[np.ndarray, " p"]
    first_half: LagVote | None
    second_half: LagVote | None
    growth_frames: float
    """Frames by which the lag grows from the first frame to the last; 0 where it does not."""
    break_frame: int | None
    """First frame known to have another lag than those before, where the lag jumps."""
    lag_before: int | None
    lag_after: int | None

    @property
    def lag(self) -> int | None:
        """The lag that most onsets agree on; half-way through the video where it grows."""
        return self.vote.lag if self.vote else None

    @property
    def num_agreeing(self) -> int:
        """How many onsets agree within one frame."""
        return self.vote.num_agreeing if self.vote else 0

    @property
    def confidence(self) -> float:
        """Share of the onsets that agree within one frame."""
        return self.vote.share if self.vote else 0.0


@dataclass(frozen=True, slots=True)
class _Break:
    """A jump of the lag: onsets that agree with it, the first frame after it, both lags."""

    num_agreeing: int
    frame: int
    before: int
    after: int


def estimate_offset(
    motion: Float32[np.ndarray, " n"],
    action: Int64[np.ndarray, " n"],
    *,
    movement: Collection[int] | None = None,
    window: int = WINDOW_FRAMES,
) -> OffsetEstimate:
    """Estimate the lag of a video whose frame i has `motion[i]` (change since frame i - 1) and `action[i]`.

    `movement` are the actions that start motions (default: all but 0). Frames without a label have a negative
    action. If less than half of the onsets agree within `window`, WIDE_WINDOW_FRAMES is tried.
    """
    keys = key_downs(action, movement)
    near = _estimate(motion, keys, window)
    if (near.is_reliable and near.confidence >= _CLEAR_SHARE) or window >= WIDE_WINDOW_FRAMES:
        return near
    wide = _estimate(motion, keys, WIDE_WINDOW_FRAMES)
    return wide if wide.is_reliable and wide.num_agreeing > near.num_agreeing else near


def _estimate(
    motion: Float32[np.ndarray, " n"], keys: Int64[np.ndarray, " k"], window: int
) -> OffsetEstimate:
    """The estimate for the threshold between small and large motion, else for stillness if that is reliable.

    Turning on the spot comes a frame before walking, so the large motion has the say where both are seen.
    """
    found = [_at_threshold(motion, keys, window, level) for level in thresholds(motion)]
    if not found:
        return _at_threshold(motion, keys, window, float("inf"))
    large, small = found[0], found[-1]
    if large.is_reliable or not small.is_reliable:
        return large
    near = large.lag is not None and small.lag is not None and 0 <= large.lag - small.lag <= 2
    if near and large.num_agreeing >= 3 and large.confidence >= _CLEAR_SHARE:
        return replace(large, is_reliable=True)
    return small


def _at_threshold(
    motion: Float32[np.ndarray, " n"], keys: Int64[np.ndarray, " k"], window: int, threshold: float
) -> OffsetEstimate:
    num_frames = len(motion)
    pairs = pair_up(keys, motion_onsets(motion, threshold), window)
    vote = vote_on(pairs, window)
    growth, middle, by_growth = _growth(pairs, num_frames)
    jump = _break(pairs, window)
    plain, num_onsets = (vote.num_agreeing, vote.num_onsets) if vote else (0, 0)
    by_break = jump.num_agreeing if jump else 0
    grows = by_growth >= 2 * _MIN_PER_SIDE and _is_better(by_growth, plain, num_onsets)
    grows = grows and 10 * by_growth >= 9 * by_break
    breaks = jump if not grows and _is_better(by_break, plain, num_onsets) else None
    agreeing = by_growth if grows else by_break if breaks else plain
    half = num_frames // 2
    return OffsetEstimate(
        num_frames=num_frames,
        num_key_downs=len(keys),
        vote=LagVote(middle if grows else vote.lag, agreeing, vote.num_onsets) if vote else None,
        is_reliable=bool(vote) and _is_no_chance(agreeing, pairs, window),
        window=window,
        threshold=threshold,
        histogram=np.bincount(pairs.lag + window, minlength=2 * window + 1),
        onset_frame=pairs.frame,
        onset_lag=pairs.lag,
        first_half=vote_on(pairs.where(pairs.frame < half), window),
        second_half=vote_on(pairs.where(pairs.frame >= half), window),
        growth_frames=growth if grows else 0.0,
        break_frame=breaks.frame if breaks else None,
        lag_before=breaks.before if breaks else None,
        lag_after=breaks.after if breaks else None,
    )


def _growth(pairs: Pairs, num_frames: int) -> tuple[float, int, int]:
    """The steady growth over all frames that most onsets agree on, the lag half-way, and how many agree."""
    best = (0, 0, 0)
    if not len(pairs.lag):
        return 0.0, 0, 0
    place = pairs.frame / num_frames - 0.5
    for growth in (*range(-_MAX_GROWTH_FRAMES, -1), *range(2, _MAX_GROWTH_FRAMES + 1)):
        straight = np.rint(pairs.lag - growth * place).astype(np.int64)
        low = int(straight.min())
        single = np.unique(np.stack([straight - low, pairs.onset]), axis=1)[0]
        counts = np.convolve(np.bincount(single), np.ones(3, np.int64))
        if counts.max() > best[2]:
            best = (growth, int(counts.argmax()) - 1 + low, int(counts.max()))
    return *_line(place, pairs.lag, *best[:2]), best[2]


def _line(
    place: Float64[np.ndarray, " p"], lag: Int64[np.ndarray, " p"], growth: int, middle: int
) -> tuple[float, int]:
    """Growth and lag half-way of the line through the pairs that lie near the given one."""
    near = np.abs(lag - growth * place - middle) <= 1.5
    if not near.any() or np.ptp(place[near]) < 0.25:
        return float(growth), middle
    slope, level = np.polyfit(place[near], lag[near], 1)
    return round(float(slope), 2), round(float(level))


def _break(pairs: Pairs, window: int) -> _Break | None:
    """The best split into two stretches with a lag each, if there is one with enough onsets on both sides."""
    first = np.unique(pairs.onset, return_index=True)[1]
    if len(first) < 2 * _MIN_PER_SIDE:
        return None
    agrees = agreement(pairs, window)
    before = np.concatenate([np.zeros((2 * window + 1, 1), int), np.cumsum(agrees, axis=1)], axis=1)
    after = before[:, -1:] - before
    total = before.max(axis=0) + after.max(axis=0)
    cut = int(total.argmax())
    one, other = int(before[:, cut].argmax()), int(after[:, cut].argmax())
    new = np.flatnonzero(agrees[other, cut:] & ~agrees[one, cut:])
    if min(before[one, cut], after[other, cut]) < _MIN_PER_SIDE or not len(new):
        return None
    start = int(pairs.frame[first[cut + int(new[0])]])
    left, right = (vote_on(pairs.where(side), window) for side in (pairs.frame < start, pairs.frame >= start))
    if left is None or right is None or abs(left.lag - right.lag) < 2:
        return None
    return _Break(int(total[cut]), start, left.lag, right.lag)


def _is_better(agreeing: int, plain: int, num_onsets: int) -> bool:
    """Whether an explanation with one more number explains enough more onsets, and enough of all."""
    gains = agreeing >= plain + _MIN_AGREEING and 4 * agreeing >= 5 * plain
    return gains and agreeing >= _CLEAR_SHARE * num_onsets


def _is_no_chance(agreeing: int, pairs: Pairs, window: int) -> bool:
    """Whether so many agreeing onsets are unlikely if key-downs fell anywhere (Chernoff's bound)."""
    num_onsets = len(np.unique(pairs.onset))
    if agreeing < _MIN_AGREEING or agreeing < _MIN_SHARE * num_onsets:
        return False
    num_lags = 2 * window + 1
    others = max(len(pairs.lag) - agreeing, 1)
    chance = min(3 * others / (num_onsets * num_lags), 0.99)
    share = min(agreeing / num_onsets, 1 - 1e-9)
    if share <= chance:
        return False
    distance = share * np.log(share / chance) + (1 - share) * np.log((1 - share) / (1 - chance))
    return bool(num_lags * np.exp(-num_onsets * distance) < _MAX_CHANCE)
