"""Format `runs`: `start end action`, run lengths in frames counted from 0, with or without a header.

Both ends belong to the run: `10 19 left` is ten frames. Runs may come in any order but must not overlap; in
the gaps between them nothing is pressed (the game's action 0). Fields are separated by white space, commas,
tabs or semicolons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from worldgen_core.video.formats.frames import ACTION_NAMES
from worldgen_core.video.formats.text import LabelText, Line, delimiter, fields, table
from worldgen_core.video.keymap import HeldKeysNow
from worldgen_core.video.labels import FrameChanges, Origin, drop_repeats

NAME = "runs"

_STARTS = {"start", "start_frame", "first", "first_frame", "from", "begin"}
_ENDS = {"end", "end_frame", "last", "last_frame", "to", "stop"}

_Run = tuple[int, int, int, int]
"""First frame, last frame, action, line."""


def header(line: Line) -> tuple[int, int, int] | None:
    """Columns of start, end and action, if the line names them."""
    names = [name.casefold() for name in fields(line.text, delimiter(line.text))]
    found = [
        next((column for column, name in enumerate(names) if name in wanted), None)
        for wanted in (_STARTS, _ENDS, ACTION_NAMES)
    ]
    start, end, action = found
    return None if start is None or end is None or action is None else (start, end, action)


def looks_like(sample: Sequence[Line]) -> bool:
    """Whether there is a header that names start, end and action, or every line is two numbers and a word."""
    if header(sample[0]):
        return True
    rows = [fields(line.text, delimiter(line.text)) for line in sample]
    return all(len(row) == 3 and all(part.lstrip("-+").isdigit() for part in row[:2]) for row in rows)


def read(source: LabelText) -> FrameChanges:
    """Read the runs as changes."""
    runs = sorted(_runs(source))
    _check_apart(source, runs)
    frames: list[int] = []
    actions: list[int] = []
    for start, end, action, _ in runs:
        frames += [start, end + 1]
        actions += [action, 0]
    notes = source.finish()
    changes, kept = drop_repeats(frames, actions)
    return FrameChanges(
        Origin(source.name, NAME, notes),
        np.array(changes, np.int64),
        np.array(kept, np.int64),
        num_frames=runs[-1][1] + 1 if runs else 0,
    )


def _runs(source: LabelText) -> list[_Run]:
    runs: list[_Run] = []
    for line, (first, last, name) in table(source, header, 3, "start, end and action"):
        start, end = source.frame(first, line), source.frame(last, line)
        if end < start:
            source.fail(line, f"an end that is not before the start, {start}", f"{end}")
        held = HeldKeysNow(source.keymap)
        held.press(source.keys(name, line))
        runs.append((start, end, held.action, line))
    return runs


def _check_apart(source: LabelText, runs: Sequence[_Run]) -> None:
    pairs = list(pairwise(runs))
    for one, other in pairs:
        if other[0] <= one[1]:
            exclusive = all(after[0] >= before[1] for before, after in pairs)
            source.fail(
                other[3],
                f"runs that do not overlap (both ends belong to a run): a start after {one[1]}, the end of "
                f"the run in line {one[3]}",
                f"start {other[0]}",
                "the ends seem to be exclusive: write each end less 1"
                if exclusive
                else "correct one of the two",
            )
