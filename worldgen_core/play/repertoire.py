"""The models that a server has in memory: so many at most, one loaded at a time, idle ones dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

from worldgen_core.errors import ConfigError
from worldgen_core.play.loading import Shared


class Key(NamedTuple):
    """What makes two loaded models the same one."""

    model: str
    device: str
    backend: str


@dataclass
class _Entry:
    shared: Shared
    num_players: int


class Repertoire:
    """Lends loaded models to players and remembers who has which."""

    def __init__(self, load: Callable[[Key], Shared], *, limit: int) -> None:
        self._load = load
        self._limit = limit
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._changing = Lock()
        self._loading = Lock()

    def borrow(self, key: Key) -> Shared:
        """A loaded model; give it back with `give_back`. At once if it is in memory, else after loading it.

        Raises: ConfigError if as many models as there may be are all being played; what loading raises.
        """
        if (shared := self._lend(key)) is not None:
            return shared
        with self._loading:
            if (shared := self._lend(key)) is not None:  # somebody else has just loaded it
                return shared
            with self._changing:
                self._make_room()
            shared = self._load(key)
            with self._changing:
                self._entries[key] = _Entry(shared, 1)
            return shared

    def give_back(self, key: Key) -> None:
        """A player no longer plays this model; it stays in memory until room is needed."""
        with self._changing:
            self._entries[key].num_players -= 1

    @property
    def loaded(self) -> list[Key]:
        """What is in memory, the longest unused first."""
        with self._changing:
            return list(self._entries)

    def _lend(self, key: Key) -> Shared | None:
        with self._changing:
            entry = self._entries.get(key)
            if entry is None:
                return None
            entry.num_players += 1
            self._entries.move_to_end(key)
            return entry.shared

    def _make_room(self) -> None:
        while len(self._entries) >= self._limit:
            idle = next((key for key, entry in self._entries.items() if entry.num_players == 0), None)
            if idle is None:
                raise ConfigError(
                    "another model",
                    expected=f"at most {self._limit} models in memory",
                    found=f"{self._limit} that are being played",
                    next_step="take one that somebody plays, wait, or start `worldgen play` with --models",
                )
            del self._entries[idle]
