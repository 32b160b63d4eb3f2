"""Which pictures of a video may be part of an episode, and why the others may not."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from worldgen_core.video.alignment import Aligned
from worldgen_core.video.records import DecodeReport, VideoFacts
from worldgen_core.video.scenes import Scenes
from worldgen_core.video.settings import SliceSettings


def usable_pictures(
    aligned: Aligned, facts: VideoFacts, scenes: Scenes, decoded: DecodeReport, settings: SliceSettings
) -> tuple[Bool[np.ndarray, " t"], dict[str, int]]:
    """True for every picture that an episode may hold, and how many may not, by reason.

    Damaged frames and long black stretches are never part of an episode; frozen stretches and the first frame
    after a cut only where the settings allow them. A picture counts under the first reason that applies.
    """
    usable = np.ones(len(aligned.source_frame), bool)
    dropped: dict[str, int] = {}
    for reason, frames in _unusable_frames(facts, scenes, decoded, settings).items():
        hit = _pictures_hit(frames, aligned) & usable
        if hit.any():
            dropped[reason] = int(hit.sum())
        usable &= ~hit
    return usable, dropped


def _unusable_frames(
    facts: VideoFacts, scenes: Scenes, decoded: DecodeReport, settings: SliceSettings
) -> dict[str, Bool[np.ndarray, " n"]]:
    """Masks over the video's frames, by reason."""
    masks = {reason: np.zeros(facts.num_demuxed, bool) for reason in ("damaged", "black", "frozen", "cut")}
    for first, last in decoded.damaged:
        masks["damaged"][first : last + 1] = True
    masks["damaged"][list(decoded.missing)] = True
    longest_door = settings.scenes.door_frames
    for stretch in scenes.stretches:
        is_door = stretch.kind == "black" and stretch.num_frames <= longest_door
        is_allowed = stretch.kind in ("cut", "frozen") and settings.cut_inside_episodes
        if stretch.kind in masks and not is_door and not is_allowed:
            masks[stretch.kind][stretch.first : stretch.last + 1] = True
    return masks


def _pictures_hit(frames: Bool[np.ndarray, " n"], aligned: Aligned) -> Bool[np.ndarray, " t"]:
    """Pictures whose frame is marked, or that jump over a marked one since the picture before."""
    count = np.concatenate([[0], np.cumsum(frames)])
    source = aligned.source_frame
    before = np.concatenate([source[:1], source[:-1] + 1])
    return count[source + 1] > count[np.minimum(before, source)]
