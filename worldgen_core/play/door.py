"""How fast strangers are heard: at a steady rate whatever they ask, so that players keep their time.

It paces what comes in before a WebSocket is open: pages, thumbnails, handshakes. Who already plays does not
pass here again. A few may wait for their turn; more are turned away at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from worldgen_core.play.pace import TokenBucket

REQUESTS_PER_S = 40.0
"""A page is some twenty requests; `BURST` lets in four of them at once."""
BURST = 80
MAX_WAITING = 64


class Door:
    """Lets requests in one after another, at a rate with bursts."""

    def __init__(
        self, *, rate_per_s: float = REQUESTS_PER_S, burst: int = BURST, max_waiting: int = MAX_WAITING
    ) -> None:
        self._period_s = 1.0 / rate_per_s
        self._bucket = TokenBucket(rate_per_s, burst, 0.0)
        self._max_waiting = max_waiting
        self._waiting: deque[Callable[[], None]] = deque()

    def enter(self) -> bool:
        """Whether one may come in now."""
        return not self._waiting and self._bucket.take(asyncio.get_running_loop().time())

    def wait(self, enter: Callable[[], None]) -> bool:
        """Have `enter` called when its turn comes; False if too many wait already."""
        if len(self._waiting) >= self._max_waiting:
            return False
        self._waiting.append(enter)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(self._period_s, self._next)
        return True

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        if self._bucket.take(loop.time()):
            self._waiting.popleft()()
        if self._waiting:
            loop.call_later(self._period_s, self._next)
