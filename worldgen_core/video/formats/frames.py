"""Format `frames`: `frame,action`, with or without a header; frames are counted from 0 and ascend.

Lines may be sparse: an action holds until the next line, the last one to the end of the video, and before the
first line nothing is pressed. A file that names every frame, and some action twice in a row, is taken as one
label a frame, so that its length is compared with the video's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from worldgen_core.video.formats.text import LabelText, Line, delimiter, fields, table
from worldgen_core.video.keymap import HeldKeysNow
from worldgen_core.video.labels import FrameChanges, FrameLabels, Origin, drop_repeats

NAME = "frames"

FRAME_NAMES = {"frame", "frame_index", "frame_id", "frame_number", "frame_idx", "index", "i"}
ACTION_NAMES = {"action", "actions", "label", "key", "keys", "action_id", "action_name", "button"}


def header(line: Line) -> tuple[int, int] | None:
    """Columns of frame and action, if the line names them."""
    names = [name.casefold() for name in fields(line.text, delimiter(line.text))]
    frame = next((column for column, name in enumerate(names) if name in FRAME_NAMES), None)
    action = next((column for column, name in enumerate(names) if name in ACTION_NAMES), None)
    return None if frame is None or action is None else (frame, action)


def looks_like(sample: Sequence[Line]) -> bool:
    """Whether there is a header that names frame and action, or every line is a number and a word."""
    if header(sample[0]):
        return True
    rows = [fields(line.text, delimiter(line.text)) for line in sample]
    return all(len(row) == 2 and row[0].lstrip("-+").isdigit() for row in rows)


def read(source: LabelText) -> FrameLabels | FrameChanges:
    """Read the labels of all frames, or their changes."""
    frames: list[int] = []
    actions: list[int] = []
    held = HeldKeysNow(source.keymap)
    for line, (frame_text, name) in table(source, header, 2, "frame and action"):
        frame = source.frame(frame_text, line)
        check_ascending(source, frames, frame, line)
        held.replace(source.keys(name, line))
        frames.append(frame)
        actions.append(held.action)
    return joined(Origin(source.name, NAME, source.finish()), frames, actions)


def check_ascending(source: LabelText, frames: Sequence[int], frame: int, line: int) -> None:
    """Raise a LabelError unless `frame` comes after those before."""
    if frames and frame <= frames[-1]:
        source.fail(
            line,
            f"frame numbers that ascend: more than {frames[-1]}",
            f"{frame}{' a second time' if frame == frames[-1] else ''}",
        )


def joined(origin: Origin, frames: list[int], actions: list[int]) -> FrameLabels | FrameChanges:
    """One label a frame where every frame is named, else changes."""
    repeats = any(one == other for one, other in pairwise(actions))
    if frames and repeats and frames[0] <= 1 and frames[-1] - frames[0] == len(frames) - 1:
        notes = origin.notes
        if frames[0] == 1:
            notes += (
                "frames are counted from 1; if the video's first frame is called 1, set offset_frames: -1",
            )
        return FrameLabels(
            Origin(origin.name, origin.format, notes), np.array(actions, np.int64), first_frame=frames[0]
        )
    changes, kept = drop_repeats(frames, actions)
    return FrameChanges(
        origin,
        np.array(changes, np.int64),
        np.array(kept, np.int64),
        num_frames=frames[-1] + 1 if frames else 0,
    )
