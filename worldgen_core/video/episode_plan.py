"""Where episodes lie in a video: a pure function of which frames are usable.

Episodes fill each stretch of usable frames. Held-out episodes lie together at one end of a stretch, with a
gap to the training episodes, so that the two share no seconds and a stretch pays for few gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from storage.records import Split
from worldgen_core.seeds import derive_seed
from worldgen_core.video.settings import SliceSettings


@dataclass(frozen=True, slots=True)
class Span:
    """Frames `first` up to, not including, `end` of a video's target timeline, which make one episode."""

    first: int
    end: int
    split: Split

    @property
    def num_frames(self) -> int:
        """The number of frames."""
        return self.end - self.first


def plan_episodes(usable: Bool[np.ndarray, " t"], settings: SliceSettings, *, source: str) -> list[Span]:
    """Lay episodes over the usable frames of one video, ascending.

    `source` is the video's name; seed and name decide at which end of a stretch frames are held out. Where
    there are at least two whole episodes and `validation_share` is above 0, one is held out at least.
    """
    held_out = _hold_out(_stretches(usable), settings, source)
    for_training = usable.copy()
    for span in held_out:
        for_training[max(span.first - settings.gap_frames, 0) : span.end + settings.gap_frames] = False
    training = [
        span for first, end in _stretches(for_training) for span in _fill(first, end, "train", settings)
    ]
    return sorted([*held_out, *training], key=lambda span: span.first)


def _stretches(usable: Bool[np.ndarray, " t"]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], usable.astype(np.int8), [0]])))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _hold_out(stretches: list[tuple[int, int]], settings: SliceSettings, source: str) -> list[Span]:
    """Whole episodes at one end of the longest stretches."""
    length = settings.episode_frames
    whole = [(end - first) // length for first, end in stretches]
    wanted = round(settings.validation_share * sum(whole))
    if settings.validation_share > 0 and sum(whole) > 1:
        wanted = max(wanted, 1)
    spans: list[Span] = []
    for index in sorted(range(len(stretches)), key=lambda index: -whole[index]):
        first, end = stretches[index]
        block = min(wanted - len(spans), whole[index]) * length
        is_last = derive_seed(settings.seed, "held out", source, index) % 2 == 0
        begin = end - block if is_last else first
        spans += _fill(begin, begin + block, "validation", settings)
    return spans


def _fill(first: int, end: int, split: Split, settings: SliceSettings) -> list[Span]:
    """Whole episodes from `first` on, and the remainder where the settings keep it."""
    length = settings.episode_frames
    spans = [Span(start, start + length, split) for start in range(first, end - length + 1, length)]
    rest = spans[-1].end if spans else first
    if settings.remainder == "keep" and end - rest >= settings.remainder_frames:
        spans.append(Span(rest, end, split))
    return spans
