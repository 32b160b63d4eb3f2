"""Format `events`: a line for each key that goes down or up, with its time.

Known columns: `time_ms,event,key` and `timestamp,event_type,event_args`; a header names others (time in s,
ms, us or ns; a bare `time` or `timestamp` is in seconds if any stamp has a point, else in milliseconds).
Events are down/up, press/release, KEY_DOWN/KEY_UP, or KEYBOARD with "[virtual key code, true]" as screen
recorders write them; their mouse and gamepad events are left out. Times count from the video's first frame,
or from the event VIDEO_START.

Keys that are held at a moment become one action as keymap.py says: a combination that the keymap names, else
the key that went down last. A key that goes up without having gone down does not matter, nor does a repeated
down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worldgen_core.video.formats.held import TIME_COLUMNS, Recording, parse_time
from worldgen_core.video.formats.key_events import kind_of, note_event, parse_argument
from worldgen_core.video.formats.text import LabelText, Line, delimiter, fields
from worldgen_core.video.labels import HeldKeys

NAME = "events"

_KINDS = {"event", "event_type", "type", "kind", "state", "pressed", "event_name"}
_KEYS = {"key", "event_args", "args", "button", "code", "key_name", "keycode", "key_code"}


@dataclass(frozen=True)
class _Columns:
    """Where time, kind and key are."""

    time: int
    kind: int
    key: int
    count: int
    unit: str


def looks_like(sample: Sequence[Line]) -> bool:
    """Whether there is a header of events, or every line is a time, an event and a key."""
    if _header(sample[0]):
        return True
    rows = [fields(line.text, delimiter(line.text)) for line in sample]
    return all(
        len(row) == 3 and row[0].lstrip("-+").replace(".", "", 1).isdigit() and kind_of(row[1]) is not None
        for row in rows
    ) and not all(row[1].isdigit() for row in rows)


def read(source: LabelText) -> HeldKeys:
    """Read the action that the held keys mean from each moment on."""
    columns = _Columns(0, 1, 2, 3, "")
    mark: str | None = None
    recording = Recording(source, "")
    num_left_out = 0
    for index, line in enumerate(source.lines()):
        if index == 0:
            mark = delimiter(line.text)
            found = _header(line)
            if found:
                columns, recording.unit = found, found.unit
                continue
        row = fields(line.text, mark)
        if len(row) != columns.count:
            source.fail(line.number, f"{columns.count} fields: time, event, key", repr(line.text[:40]))
        time = parse_time(source, row[columns.time], line.number)
        try:
            argument = parse_argument(row[columns.key])
        except ValueError:
            source.fail(line.number, "a key, or JSON arguments", repr(row[columns.key][:40]))
        num_left_out += note_event(recording, line.number, time, row[columns.kind], argument)
    notes = (f"{num_left_out} events of mouse, gamepad or window left out",) if num_left_out else ()
    return recording.held_keys(NAME, notes)


def _header(line: Line) -> _Columns | None:
    names = [name.casefold() for name in fields(line.text, delimiter(line.text))]
    found = [
        next((column for column, name in enumerate(names) if name in wanted), None)
        for wanted in (TIME_COLUMNS.keys(), _KINDS, _KEYS)
    ]
    time, kind, key = found
    if time is None or kind is None or key is None:
        return None
    return _Columns(time, kind, key, len(names), TIME_COLUMNS[names[time]])
