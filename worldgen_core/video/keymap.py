"""From names of keys and labels to action ids, and from sets of held keys to one action.

Names are compared without regard to case. A name is looked up in the setting `keymap`, then among the game's
action names, then in the game's own keymap (`KeyboardEvent.code` names such as ArrowLeft); a plain number is
an action id. Held keys become one action so:

1. Of the combinations that the keymap names ("left+a") and whose keys are all held, the one with the most
   keys counts; among equals the one whose newest key went down last, then the one named first.
2. Otherwise the key that went down last counts; of keys that went down at once, the one written last.
3. Keys that map to action 0 count for nothing, and nothing held is action 0.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worldgen_core.errors import ConfigError

_NOTHING = ("none", "noop", "idle", "nothing")
_ID = re.compile(r"\d{1,6}")

Key = str
"""What a held key is told apart by: `#3` if it is action 3 by itself, else its folded name."""


@dataclass(frozen=True)
class KeyMap:
    """Which action each name means; made by `make_keymap`."""

    action_names: tuple[str, ...]
    names: Mapping[str, int]
    own: frozenset[str]
    """Names that the setting `keymap` has."""
    combinations: tuple[tuple[frozenset[Key], int], ...]
    modifiers: frozenset[str]
    """Names that mean something in combinations only."""

    def find(self, name: str) -> int | None:
        """The action of a name or id, or None if there is no such name."""
        folded = fold(name)
        found = self.names.get(folded)
        if found is None and _ID.fullmatch(folded) and int(folded) < len(self.action_names):
            return int(folded)
        return found

    def keys(self, name: str) -> tuple[Key, ...] | None:
        """The keys that a label names: one, several joined by +, or none; None if one of them is unknown."""
        action = self.find(name)
        if action is not None:
            return (self._identity(name),) if action or fold(name) in self.modifiers else ()
        if fold(name) in self.modifiers:
            return (fold(name),)
        if "+" not in name.strip("+ "):
            return None
        parts = [self.keys(part) for part in name.split("+") if part.strip()]
        if any(part is None for part in parts):
            return None
        return tuple(key for part in parts if part is not None for key in part)

    def resolve(self, held: Sequence[Key]) -> int:
        """The action of the held keys, given in the order in which they went down."""
        ranks = {key: rank for rank, key in enumerate(held)}
        best, best_score = 0, (0, -1)
        for keys, action in self.combinations:
            if keys <= ranks.keys():
                score = (len(keys), max(ranks[key] for key in keys))
                if score > best_score:
                    best, best_score = action, score
        if best_score[0]:
            return best
        return next((int(key[1:]) for key in reversed(held) if key.startswith("#")), 0)

    def nearest(self, name: str) -> str | None:
        """A known name that looks like this one."""
        known = {fold(known): known for known in (*self.action_names, *self.names)}
        near = difflib.get_close_matches(fold(name), list(known), n=1, cutoff=0.6)
        return known[near[0]] if near else None

    def expected(self) -> str:
        """What a label may be, for messages."""
        return (
            f"one of {', '.join(self.action_names)}, an id from 0 to {len(self.action_names) - 1}, "
            "or a name in keymap"
        )

    def _identity(self, name: str) -> Key:
        action = self.find(name)
        return f"#{action}" if action else fold(name)


class HeldKeysNow:
    """The keys that are held at the moment, in the order in which they went down."""

    def __init__(self, keymap: KeyMap) -> None:
        self._keymap = keymap
        self._held: dict[Key, None] = {}

    def press(self, keys: Iterable[Key]) -> None:
        """Keys go down; those that are held already stay where they are."""
        for key in keys:
            self._held.setdefault(key)

    def release(self, keys: Iterable[Key]) -> None:
        """Keys go up; those that are not held do not matter."""
        for key in keys:
            self._held.pop(key, None)

    def replace(self, keys: Iterable[Key]) -> None:
        """Exactly these keys are held; those held before keep their age."""
        wanted = dict.fromkeys(keys)
        self._held = {key: None for key in self._held if key in wanted}
        self.press(wanted)

    @property
    def action(self) -> int:
        """The action that the held keys mean."""
        return self._keymap.resolve(tuple(self._held))


def fold(name: str) -> str:
    """How names are compared: without case, quotes, spaces around them, or pynput's `Key.`."""
    text = name.strip().casefold()
    if len(text) >= 3 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text.removeprefix("key.") or text


def make_keymap(
    action_names: Sequence[str],
    game_keymap: Mapping[str, int],
    setting: Mapping[str, str | int] | None = None,
) -> KeyMap:
    """Join a game's names and keys with the setting `keymap`.

    Raises: ConfigError where the setting maps to something that is no action.
    """
    names = dict.fromkeys(_NOTHING, 0) | {fold(name): action for name, action in game_keymap.items()}
    names |= {fold(name): action for action, name in enumerate(action_names)}
    base = KeyMap(tuple(action_names), names, frozenset(), (), frozenset())
    own = {name: _target(base, name, value) for name, value in (setting or {}).items()}
    combinations = {name: action for name, action in own.items() if _is_combination(name)}
    single = {fold(name): action for name, action in own.items() if name not in combinations}
    joined = KeyMap(base.action_names, {**names, **single}, frozenset(single), (), frozenset())
    parts = {name: [part for part in name.split("+") if part.strip()] for name in combinations}
    modifiers = frozenset(fold(part) for found in parts.values() for part in found if not joined.find(part))
    return KeyMap(
        joined.action_names,
        joined.names,
        joined.own,
        tuple(
            (frozenset(joined._identity(part) for part in parts[name]), action)
            for name, action in combinations.items()
        ),
        modifiers,
    )


def _is_combination(name: str) -> bool:
    return "+" in name.strip("+ ")


def _target(base: KeyMap, name: str, value: str | int) -> int:
    found = base.find(str(value))
    if found is None or isinstance(value, bool):
        near = base.nearest(str(value))
        raise ConfigError(
            f"setting keymap.{name}",
            expected=f"an action: {', '.join(base.action_names)}, or an id from 0 to "
            f"{len(base.action_names) - 1}",
            found=repr(value),
            next_step=f"did you mean {near}?" if near else "name one of these actions",
        )
    return found
