"""What an event of a key is called, and which key it is about: shared by `events` and `jsonl`.

A kind is `down`, `up`, or one of a recorder's own events: KEYBOARD (arguments [virtual key code, is down]),
START, VIDEO_START, VIDEO_END, and others (mouse, gamepad, focus), which are left out.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from worldgen_core.video.formats.held import Recording
from worldgen_core.video.formats.text import LabelText
from worldgen_core.video.formats.virtual_keys import key_name, plain_name
from worldgen_core.video.keymap import Key

_DOWN = {"down", "press", "pressed", "keydown", "keypress", "keypressed", "true", "1", "hold", "repeat"}
_UP = {"up", "release", "released", "keyup", "keyrelease", "keyreleased", "false", "0"}
_LEFT_OUT = ("mouse", "scroll", "gamepad", "focus", "unfocus", "hook", "unknown", "window", "screen")
_LIFECYCLE = {"start", "end", "videostart", "videoend"}


def kind_of(text: str) -> str | None:
    """`down`, `up`, `keyboard`, `start`, `videostart`, `end`, `videoend`, `other`; None if it is no event."""
    folded = "".join(char for char in text.casefold() if char.isalnum())
    if folded in _DOWN:
        return "down"
    if folded in _UP:
        return "up"
    if folded in _LIFECYCLE or folded == "keyboard":
        return folded
    return "other" if folded.startswith(_LEFT_OUT) else None


def note_event(recording: Recording, line: int, time: Decimal, event: str, key: Any) -> bool:
    """Add one event; returns whether it was left out. `key` is a name, a code, a list or a mapping.

    Raises: LabelError for an event or a key that cannot be understood.
    """
    source, kind = recording.source, kind_of(event)
    if kind is None:
        source.fail(line, "an event such as down and up, press and release, KEY_DOWN", repr(event[:40]))
    if kind == "keyboard":
        key, kind = _keyboard(source, key, line)
    if kind in ("down", "up"):
        recording.add(line, time, kind, _keys(source, _one(source, key, line), line))
    elif kind == "videostart":
        recording.starts.insert(0, time)
    elif kind == "start":
        recording.starts.append(time)
        recording.add(line, time, "down", _held_at_start(source, key))
    elif kind == "videoend":
        recording.ends.append(time)
    return kind == "other"


def parse_argument(text: str) -> Any:
    """An argument as it is written in a field: JSON where it looks like JSON, else a bare name."""
    if text[:1] in ("[", "{", '"'):
        return parse_json(text)
    return text


def parse_json(text: str) -> Any:
    """JSON with exact numbers.

    Raises: ValueError if it is no JSON, holds NaN or an infinity, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _keyboard(source: LabelText, key: Any, line: int) -> tuple[Any, str]:
    """Key and kind of a KEYBOARD event: [code, is down] or the same as a mapping."""
    if isinstance(key, dict):
        given: dict[str, Any] = key
        code = given.get("keycode", given.get("key"))
        pressed = given.get("pressed", given.get("down"))
    else:
        code, pressed = key if isinstance(key, list) and len(key) == 2 else (None, None)
    if not isinstance(code, int | str) or not isinstance(pressed, bool):
        source.fail(line, "arguments [key, true or false]", repr(key)[:40])
    return code, "down" if pressed else "up"


def _one(source: LabelText, key: Any, line: int) -> int | str:
    """The key that an event's argument names."""
    if isinstance(key, list) and len(key) == 1:
        key = key[0]
    if isinstance(key, dict):
        given: dict[str, Any] = key
        key = next((given[name] for name in ("key", "code", "keycode", "button") if name in given), None)
    if isinstance(key, bool) or not isinstance(key, int | str) or key == "":
        source.fail(line, "the name of a key", repr(key)[:40])
    return key


def _held_at_start(source: LabelText, key: Any) -> tuple[Key, ...]:
    """Keys that were down already when the recorder started: {"inputs": {"keyboard": [codes]}}."""
    inputs = key.get("inputs") if isinstance(key, dict) else None
    codes = inputs.get("keyboard") if isinstance(inputs, dict) else None
    if not isinstance(codes, list):
        return ()
    found = (_known(source, code) for code in codes if isinstance(code, int | str))
    return tuple(key for keys in found if keys for key in keys)


def _keys(source: LabelText, key: int | str, line: int) -> tuple[Key, ...]:
    keys = _known(source, key)
    if keys is None:
        source.note_unknown(key if isinstance(key, str) else key_name(key), line)
    return keys or ()


def _known(source: LabelText, key: int | str) -> tuple[Key, ...] | None:
    """The keys of a name or a virtual key code; letters are buttons of that name only if keymap says so."""
    if isinstance(key, str):
        keys = source.keymap.keys(key)
        if keys is not None or not key.isdecimal() or len(key) > 4:
            return source.keymap.keys(plain_name(key)) if keys is None else keys
        key = int(key)
    name = key_name(key)
    keys = source.keymap.keys(name)
    if keys is not None:
        return keys
    plain = plain_name(name).removeprefix("key").removeprefix("digit")
    if len(plain) > 1 or plain in source.keymap.own:
        return source.keymap.keys(plain)
    return None
