"""The threads of a play server, each kind of work apart: no loading or encoding keeps anybody from a step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Crew:
    """Runs work off the event loop; threads are started when they are first needed."""

    def __init__(self, num_players: int) -> None:
        self._steps = ThreadPoolExecutor(num_players, "play-step")
        self._loads = ThreadPoolExecutor(1, "play-load")
        self._files = ThreadPoolExecutor(1, "play-file")

    async def step(self, work: Callable[[], T]) -> T:
        """Frames of a session; every player has a thread for them."""
        return await asyncio.get_running_loop().run_in_executor(self._steps, work)

    async def load(self, work: Callable[[], T]) -> T:
        """Loading of models, one after another."""
        return await asyncio.get_running_loop().run_in_executor(self._loads, work)

    async def file(self, work: Callable[[], T]) -> T:
        """Encoding of recordings, one after another."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work)
