"""Windows virtual key codes -> names of keys as browsers report them (KeyboardEvent.code)."""

from __future__ import annotations

_NAMED = {
    8: "Backspace",
    9: "Tab",
    13: "Enter",
    16: "ShiftLeft",
    17: "ControlLeft",
    18: "AltLeft",
    27: "Escape",
    32: "Space",
    33: "PageUp",
    34: "PageDown",
    35: "End",
    36: "Home",
    37: "ArrowLeft",
    38: "ArrowUp",
    39: "ArrowRight",
    40: "ArrowDown",
    45: "Insert",
    46: "Delete",
    91: "MetaLeft",
    160: "ShiftLeft",
    161: "ShiftRight",
    162: "ControlLeft",
    163: "ControlRight",
    164: "AltLeft",
    165: "AltRight",
}


def key_name(code: int) -> str:
    """Name of the key with that code; `vk-123` where there is none."""
    if 65 <= code <= 90:
        return f"Key{chr(code)}"
    if 48 <= code <= 57:
        return f"Digit{code - 48}"
    if 112 <= code <= 135:
        return f"F{code - 111}"
    return _NAMED.get(code, f"vk-{code}")


def plain_name(name: str) -> str:
    """What people call that key: `left` for ArrowLeft, `shift` for ShiftRight, `enter` for Enter."""
    text = name.removeprefix("Arrow")
    for side in ("Left", "Right"):
        text = text.removesuffix(side) or text
    return text.casefold()
