"""What a player holds and has pressed: told on the thread of messages, taken on the thread of frames."""

from __future__ import annotations

from collections.abc import Set
from threading import Lock


class Keys:
    """The action that is held, the press that waits for the next frame, and the newest press's number."""

    def __init__(self, taps: Set[int]) -> None:
        self._taps = taps
        self._lock = Lock()
        self._held = self._pressed = self._press = 0

    def hold(self, action: int, press: int) -> None:
        """`action` is held now (0: nothing)."""
        with self._lock:
            self._held = action
            if action:
                self._pressed, self._press = action, press

    def release_all(self) -> None:
        """Nothing is held, and no press waits."""
        with self._lock:
            self._held = self._pressed = 0

    def forget(self) -> None:
        """As if there had never been a press."""
        with self._lock:
            self._held = self._pressed = self._press = 0

    def take(self) -> tuple[int, int]:
        """The action of the frame that begins now, and the newest press up to now.

        A press that comes later belongs to the next frame, however long this one takes.
        """
        with self._lock:
            held = 0 if self._held in self._taps else self._held
            action, self._pressed = self._pressed or held, 0
            return action, self._press

    def take_press(self) -> bool:
        """Whether a press waits; it no longer does."""
        with self._lock:
            pressed, self._pressed = self._pressed, 0
            return pressed != 0
