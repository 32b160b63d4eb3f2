"""What a label file says, whatever its format: one record a kind of label.

`FrameLabels` has one action for each frame, `FrameChanges` an action from a frame on, `HeldKeys` an action
from a moment on. Action 0 is what happens when nothing is pressed; it holds before the first change. Nothing
here knows of a video: `alignment.py` brings the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, slots=True)
class Origin:
    """Where labels come from, for messages."""

    name: str
    """Name of the file."""
    format: str
    """Name of the format."""
    notes: tuple[str, ...] = ()
    """What a reader of the doctor's report should know."""


@dataclass(frozen=True, eq=False, slots=True)
class FrameLabels:
    """One action a frame: `action[i]` belongs to label frame `first_frame + i`."""

    origin: Origin
    action: Int64[np.ndarray, " n"]
    first_frame: int = 0
    num_blank: int = 0
    """Blank lines between the first and the last label; they were skipped."""

    @property
    def num_frames(self) -> int:
        """Frames that the labels speak of, from frame 0 on."""
        return self.first_frame + len(self.action)


@dataclass(frozen=True, eq=False, slots=True)
class FrameChanges:
    """`action[j]` holds from label frame `frame[j]` on until `frame[j + 1]`; the last one holds to the end.

    `frame` rises strictly. `num_frames` is one more than the last frame that the file names.
    """

    origin: Origin
    frame: Int64[np.ndarray, " m"]
    action: Int64[np.ndarray, " m"]
    num_frames: int


@dataclass(frozen=True, eq=False, slots=True)
class HeldKeys:
    """`action[j]` holds from `time_ns[j]` on, in nanoseconds after the video's first frame.

    `time_ns` rises strictly. `last_ns` is the time of the last event, whether it changed the action or not;
    `resolution_ns` is the unit in which the file counts time: a stamp is exact to half of it.
    """

    origin: Origin
    time_ns: Int64[np.ndarray, " m"]
    action: Int64[np.ndarray, " m"]
    last_ns: int
    resolution_ns: int


Labels = FrameLabels | FrameChanges | HeldKeys


def drop_repeats(position: list[int], action: list[int]) -> tuple[list[int], list[int]]:
    """Of changes at ascending positions keep the last one at each, and only what changes anything."""
    kept_position: list[int] = []
    kept_action: list[int] = []
    for index, (where, what) in enumerate(zip(position, action, strict=True)):
        if index + 1 < len(position) and position[index + 1] == where:
            continue
        if what != (kept_action[-1] if kept_action else 0):
            kept_position.append(where)
            kept_action.append(what)
    return kept_position, kept_action
