"""Format `names`: one action name or id a line, the i-th line that says something belongs to frame i.

Held keys may be joined by + ("left+a"). Blank lines and comments (#) do not count as frames; a first line
`action`, `key` or `label` is a header, unless an action has that name.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from worldgen_core.video.formats.text import LabelText, Line, delimiter, fields
from worldgen_core.video.keymap import HeldKeysNow, Key
from worldgen_core.video.labels import FrameLabels, Origin

NAME = "names"

_MAX_KNOWN = 10_000

_HEADERS = {"action", "actions", "key", "keys", "label", "labels"}


def looks_like(sample: Sequence[Line]) -> bool:
    """Whether each line is one word."""
    return all(
        len([part for part in fields(line.text, delimiter(line.text)) if part]) == 1 for line in sample
    )


def read(source: LabelText) -> FrameLabels:
    """Read the labels of all frames."""
    actions = array("i")
    held = HeldKeysNow(source.keymap)
    known: dict[str, tuple[int, tuple[Key, ...]]] = {}
    last: tuple[Key, ...] = ()
    for line in source.lines():
        action, keys = known.get(line.text, (None, ()))
        if action is None:
            if not actions and _is_header(source, line.text):
                continue
            word = _word(source, line)
            keys = source.keys(word, line.number)
            held.replace(last)
            held.replace(keys)
            action = held.action
            if len(keys) < 2 and source.keymap.keys(word) is not None and len(known) < _MAX_KNOWN:
                known[line.text] = (action, keys)
        last = keys
        actions.append(action)
    notes = source.finish()
    labels = np.array(actions, np.int64)
    return FrameLabels(Origin(source.name, NAME, notes), labels, num_blank=source.num_blank())


def _is_header(source: LabelText, text: str) -> bool:
    return text.casefold() in _HEADERS and source.keymap.keys(text) is None


def _word(source: LabelText, line: Line) -> str:
    words = [part for part in fields(line.text, delimiter(line.text)) if part]
    if len(words) != 1:
        source.fail(line.number, "one action name or id", repr(line.text[:40]))
    return words[0]
