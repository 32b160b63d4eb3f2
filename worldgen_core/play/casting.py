"""One player's role, and its exchange for another: the old one plays on until the new one is there.

A switch is a player's own: what others play stays as it is. The newest wish counts and nothing queues; who
wishes all the time is served at most half of the time, so that loading cannot be made the server's only work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from storage.errors import WorldgenError
from worldgen_core.play.choices import Choice
from worldgen_core.play.crew import Crew
from worldgen_core.play.theatre import Role, Theatre

log = logging.getLogger(__name__)

_REST_S = 1.0
"""Pause after a switch, at least; as long as it took, if that is longer."""

Tell = Callable[[str, dict[str, Any]], None]
"""Sends the player a note of a kind."""


class Casting:
    """Holds the roles of one player: the one that plays, and for a moment the one that is to follow it."""

    def __init__(self, theatre: Theatre, crew: Crew, role: Role) -> None:
        self.role = role
        self._theatre = theatre
        self._crew = crew
        self._held = {role}
        self._wish: Choice | None = None
        self._wished = asyncio.Event()
        self._arrival: Role | None = None

    def wish(self, choice: Choice) -> None:
        """The player wants to switch."""
        self._wish = choice
        self._wished.set()

    async def run(self, tell: Tell, on_arrival: Callable[[], None]) -> None:
        """Fulfil wishes until cancelled; `on_arrival` is called when a role can be taken."""
        while True:
            await self._wished.wait()
            self._wished.clear()
            choice, self._wish = self._wish, None
            if choice is None:
                continue
            began = time.monotonic()
            try:
                tell("loading", {"name": self._theatre.menu.check(choice).name})
                self._arrival = await self._load(choice)
            except Exception as error:  # whatever it is, the old model plays on
                tell("refused", {"text": one_line(error)})
            else:
                on_arrival()
            await asyncio.sleep(max(_REST_S, time.monotonic() - began))

    async def _load(self, choice: Choice) -> Role:
        loading = asyncio.ensure_future(self._crew.load(lambda: self._theatre.cast(choice)))
        try:
            role = await asyncio.shield(loading)
        except asyncio.CancelledError:  # the player has left while it loads
            loading.add_done_callback(self._give_back_late)
            raise
        self._held.add(role)
        return role

    def _give_back_late(self, loading: asyncio.Future[Role]) -> None:
        if not loading.cancelled() and loading.exception() is None:
            self._theatre.give_back(loading.result())

    @property
    def has_arrival(self) -> bool:
        """Whether a new role waits."""
        return self._arrival is not None

    def take(self) -> Role | None:
        """The role that waits, if one does; `settle` says which role plays now."""
        role, self._arrival = self._arrival, None
        return role

    def settle(self, role: Role) -> None:
        """From now on this role plays; all others are given back."""
        self.role = role
        for other in self._held - {role, self._arrival}:
            self._drop(other)

    def close(self) -> None:
        """The player is gone."""
        for role in list(self._held):
            self._drop(role)

    def _drop(self, role: Role) -> None:
        self._held.remove(role)
        self._theatre.give_back(role)


def one_line(error: BaseException) -> str:
    """What a player is told of an error."""
    if isinstance(error, WorldgenError):
        return f"{error.what}: {error.found}. {error.next_step}"
    log.error("a model could not be played", exc_info=error)
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {first}"[:300]
