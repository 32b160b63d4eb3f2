"""Format `jsonl`: one JSON object a line, all of one kind.

    {"action": "left"}                                one a frame, as in `names`
    {"frame": 12, "action": "left"}                   as in `frames`; "keys": ["left", "a"] in place of action
    {"time_ms": 400, "keys": ["left", "a"]}           the keys held from then on; "action" in place of keys
    {"time_ms": 400, "event": "down", "key": "left"}  as in `events`

Other members are left out. Times may be time_s, time_ms, time_us, time_ns or timestamp. null is no key.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from worldgen_core.video.formats.frames import FRAME_NAMES, check_ascending, joined
from worldgen_core.video.formats.held import TIME_COLUMNS, Recording, parse_time
from worldgen_core.video.formats.key_events import note_event, parse_json
from worldgen_core.video.formats.text import LabelText, Line
from worldgen_core.video.keymap import HeldKeysNow, Key
from worldgen_core.video.labels import FrameLabels, Labels, Origin

NAME = "jsonl"

_ACTIONS = ("action", "keys", "key", "label", "buttons")
_EVENTS = ("event", "event_type", "type", "kind")
_ARGUMENTS = ("key", "event_args", "args", "button", "code", "keycode")


def looks_like(sample: Sequence[Line]) -> bool:
    """Whether the first line begins an object."""
    return sample[0].text.startswith("{")


def read(source: LabelText) -> Labels:
    """Read labels of frames, changes, held keys or events."""
    reader = _Reader(source)
    for line in source.lines():
        reader.take(line.number, _object(source, line))
    return reader.labels()


class _Reader:
    """Collects objects of one kind: the first one says which."""

    def __init__(self, source: LabelText) -> None:
        self._source = source
        self._kind: tuple[str, ...] = ()
        self._held = HeldKeysNow(source.keymap)
        self._frames: list[int] = []
        self._actions: list[int] = []
        self._recording = Recording(source, "")
        self._num_left_out = 0

    def take(self, line: int, given: dict[str, Any]) -> None:
        """Add one object."""
        time = next((name for name in given if name in TIME_COLUMNS), "")
        frame = next((name for name in given if name in FRAME_NAMES), "")
        event = next((name for name in _EVENTS if isinstance(given.get(name), str)), "")
        what = next((name for name in _ACTIONS if name in given), "")
        kind = (time, event) if time and event else (time, "keys") if time else ("frame" if frame else "",)
        if not what and not (time and event):
            self._source.fail(
                line, f"an object with {', '.join(_ACTIONS)}, or an event", str(list(given))[:60]
            )
        if self._kind and kind != self._kind:
            self._source.fail(line, "objects of one kind, as in the lines before", str(list(given))[:60])
        self._kind = kind
        if time:
            self._take_time(line, given, time, event, what)
        else:
            self._take_frame(line, given, frame, what)

    def labels(self) -> Labels:
        """What was collected."""
        source = self._source
        if len(self._kind) == 2:
            left_out = self._num_left_out
            notes = (f"{left_out} events of mouse, gamepad or window left out",) if left_out else ()
            return self._recording.held_keys(NAME, notes)
        origin = Origin(source.name, NAME, source.finish())
        if self._kind == ("frame",):
            return joined(origin, self._frames, self._actions)
        return FrameLabels(origin, np.array(self._actions, np.int64))

    def _take_frame(self, line: int, given: dict[str, Any], frame: str, what: str) -> None:
        if frame:
            number = given[frame]
            if isinstance(number, bool) or not isinstance(number, int):
                self._source.fail(line, "a frame number, 0 or more", repr(number)[:40])
            number = self._source.frame(str(number), line)
            check_ascending(self._source, self._frames, number, line)
            self._frames.append(number)
        self._held.replace(self._keys(given[what], line))
        self._actions.append(self._held.action)

    def _take_time(self, line: int, given: dict[str, Any], time: str, event: str, what: str) -> None:
        stamp = given[time]
        if isinstance(stamp, bool) or not isinstance(stamp, int | str | Decimal):
            self._source.fail(line, "a time, finite and 0 or more", repr(stamp)[:40])
        moment = parse_time(self._source, str(stamp), line)
        self._recording.unit = TIME_COLUMNS[time]
        if event:
            argument = next((given[name] for name in _ARGUMENTS if name in given), None)
            self._num_left_out += note_event(self._recording, line, moment, given[event], argument)
        else:
            self._recording.add(line, moment, "held", self._keys(given[what], line))

    def _keys(self, value: Any, line: int) -> tuple[Key, ...]:
        """The keys of a name, an id, a list of names, a mapping of names to truth, or null."""
        if isinstance(value, dict):
            given: dict[str, Any] = value
            value = [name for name, is_down in given.items() if is_down is True or is_down == 1]
        names: list[Any] = value if isinstance(value, list) else [] if value is None else [value]
        if any(isinstance(name, bool) or not isinstance(name, int | str) for name in names):
            self._source.fail(line, "the name or id of an action, or a list of keys", repr(value)[:40])
        return tuple(key for name in names for key in self._source.keys(str(name), line))


def _object(source: LabelText, line: Line) -> dict[str, Any]:
    try:
        value = parse_json(line.text)
    except ValueError as problem:
        source.fail(line.number, "one JSON object", f"{line.text[:40]!r} ({str(problem)[:60]})")
    if not isinstance(value, dict):
        source.fail(line.number, "one JSON object", repr(line.text[:40]))
    return {str(name).casefold(): member for name, member in value.items()}
