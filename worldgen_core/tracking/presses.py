"""What came of the keys that were pressed: walked, was blocked, went wrong; taps, and where they ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64

from worldgen_core.tracking.motion import WorldMotion
from worldgen_core.tracking.settings import STEPS, Facing, TrackingSettings

Outcome = Literal["moved", "blocked", "wrong", "unknown"]

MIN_REST = 3
"""Frames for which the player must have rested before a press counts as one from rest."""
MAX_LATENCY = 3
"""Frames after a press within which motion must begin."""
MAX_TAP = 2
"""Frames for which a tap is held at most."""


@dataclass(frozen=True, slots=True)
class Press:
    """A walking key that was pressed while the player rested."""

    frame: int
    """First frame whose action is the key."""
    num_frames: int
    """How long it was held."""
    facing: Facing
    outcome: Outcome
    """`blocked`: held for longer than motion needs to begin, and nothing moved. `wrong`: the first motion
    went another way. `unknown`: the player was lost meanwhile, or the key was let go too soon to tell."""
    distance: int
    """World pixels walked along the key's direction until the player rested again, or was lost."""
    stop: int
    """Frame with which that rest began; -1 if the player was lost or the footage ended before."""

    @property
    def is_tap(self) -> bool:
        """Whether it was let go at once."""
        return self.num_frames <= MAX_TAP

    def ends_on_edge(self, settings: TrackingSettings) -> bool:
        """Whether the walk went over whole tiles; for presses on a tile's edge that came to rest (`stop`)."""
        return self.distance % settings.tile_px == 0


def find_presses(
    motion: WorldMotion,
    actions: Int64[np.ndarray, " t"],
    action_names: tuple[str, ...],
    settings: TrackingSettings,
) -> list[Press]:
    """All walking keys pressed from rest, in order; actions are held per frame."""
    facings = [settings.movement.get(name) for name in action_names]
    rest = motion.rest_frames()
    starts = np.flatnonzero(np.diff(actions, prepend=-1))
    stops = np.append(starts[1:], len(actions))
    presses: list[Press] = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        facing = facings[actions[start]]
        if facing is not None and rest[start] >= MIN_REST:
            presses.append(_press(motion, start, stop - start, facing))
    return presses


def _press(motion: WorldMotion, start: int, num_frames: int, facing: Facing) -> Press:
    first = start + 1
    soon = slice(first, first + MAX_LATENCY)
    moving = np.flatnonzero(motion.is_moving[soon])
    if not len(moving):
        is_seen = bool(motion.is_known[first : first + max(num_frames, MAX_LATENCY)].all())
        is_long = num_frames >= MAX_LATENCY and first + MAX_LATENCY <= len(motion.is_known)
        return Press(start, num_frames, facing, "blocked" if is_seen and is_long else "unknown", 0, first)
    begin = first + int(moving[0])
    if not motion.is_known[first : begin + 1].all():
        return Press(start, num_frames, facing, "unknown", 0, -1)
    is_right = tuple(np.sign(motion.motion[begin]).tolist()) == STEPS[facing]
    ends = np.flatnonzero(~motion.is_moving[begin:])
    end = begin + int(ends[0]) if len(ends) else len(motion.is_moving)
    distance = int((motion.motion[begin:end] @ np.array(STEPS[facing])).sum())
    is_rest = end < len(motion.is_known) and motion.is_resting[end]
    return Press(
        start, num_frames, facing, "moved" if is_right else "wrong", distance, end if is_rest else -1
    )
