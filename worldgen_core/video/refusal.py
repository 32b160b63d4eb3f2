"""How the decoding process says no: what it expected, what it found, what to do; the name is added later."""

from __future__ import annotations


class Refusal(Exception):
    """A video that cannot be used, seen from inside the decoding process."""

    def __init__(self, expected: str, found: str, next_step: str) -> None:
        self.expected = expected
        self.found = found
        self.next_step = next_step
        super().__init__(expected, found, next_step)
