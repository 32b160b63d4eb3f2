"""Keeping time: when the next frame is due, and how fast frames and steps really are."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_WINDOW = 120


class Pacer:
    """Says when frames are due at a steady rate; lost time is lost, and never made up by a burst."""

    def __init__(self, frames_per_s: float) -> None:
        self.frames_per_s = frames_per_s
        self._due: float | None = None

    def wait_s(self, now: float) -> float:
        """Seconds from `now` until the next frame is due; 0 if it is late."""
        return 0.0 if self._due is None else max(0.0, self._due - now)

    def begin_frame(self, now: float) -> None:
        """A frame begins; the next is due one period after this one was, or after now if that has passed."""
        period = 1.0 / self.frames_per_s
        on_time = self._due is not None and now - self._due < period
        self._due = (self._due if on_time and self._due is not None else now) + period

    def restart(self) -> None:
        """Forget the rhythm, as after a pause."""
        self._due = None


@dataclass(frozen=True)
class Rates:
    """What a meter found over its last frames; zeros before the second frame."""

    frames_per_s: float
    step_p50_ms: float
    step_p95_ms: float


class Meter:
    """Frames a second and the time of a step, over the last 120 frames."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_WINDOW)
        self._steps_ms: deque[float] = deque(maxlen=_WINDOW)

    def frame(self, now: float, step_ms: float) -> None:
        """Count a frame that was finished at `now` (seconds) after a step of `step_ms`."""
        self._times.append(now)
        self._steps_ms.append(step_ms)

    def restart(self) -> None:
        """Forget when frames came, as after a pause; what steps cost is kept."""
        self._times.clear()

    def rates(self) -> Rates:
        """The figures."""
        span = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        rate = (len(self._times) - 1) / span if span > 0 else 0.0
        p50, p95 = np.percentile(self._steps_ms, [50, 95]) if self._steps_ms else (0.0, 0.0)
        return Rates(rate, float(p50), float(p95))


class TokenBucket:
    """Allows a steady rate with bursts."""

    def __init__(self, rate_per_s: float, burst: int, now: float) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._left = float(burst)
        self._last = now

    def take(self, now: float) -> bool:
        """Take one; False if none is left."""
        self._left = min(self._burst, self._left + (now - self._last) * self._rate)
        self._last = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
