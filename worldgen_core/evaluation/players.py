"""Players for held-out play; those that look see what the state reader sees, so they can play a dream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Game, PixelPlayer, State
from worldgen_core.seeds import derive_seed

PLAYER_NAMES = ("rule", "clumsy", "absent", "idle", "spam", "random")
"""The game's rule, the rule with slips, with spells of doing nothing, and three that do not look."""

_SLIP = 0.06
_SPELL_START = 0.03
_SPELL_FRAMES = (4, 20)
_PRESS = (0.04, 0.5)


@runtime_checkable
class Player(Protocol):
    """Chooses actions; one that does not look may be given None."""

    looks: bool

    def reset(self) -> None:
        """Forget the life before."""
        ...

    def act_on(self, state: State | None, /) -> int:
        """Choose the action that follows a frame in which this was read."""
        ...


class SteadyPlayer:
    """Gives the same action for ever."""

    looks = False

    def __init__(self, action: int) -> None:
        self._action = action

    def reset(self) -> None:
        """Nothing to forget."""

    def act_on(self, _state: State | None, /) -> int:
        """The one action."""
        return self._action


class RandomPlayer:
    """Presses any key with a probability that each life draws anew, between a tap a second and mashing."""

    looks = False

    def __init__(self, num_actions: int, seed: int) -> None:
        self._num_actions = num_actions
        self._rng = np.random.default_rng(seed)
        self.reset()

    def reset(self) -> None:
        """Draw the next life's probability."""
        low, high = np.log(_PRESS)
        self._press = float(np.exp(self._rng.uniform(low, high)))

    def act_on(self, _state: State | None, /) -> int:
        """Action 0, or any other by chance."""
        chosen = int(self._rng.integers(1, self._num_actions))
        return chosen if self._rng.random() < self._press else 0


class RulePlayer:
    """The game's own rule; if asked for with slips (random actions) and spells of doing nothing."""

    looks = True

    def __init__(
        self, rule: PixelPlayer, num_actions: int, seed: int, *, slip: float = 0.0, spell: float = 0.0
    ) -> None:
        self._rule = rule
        self._num_actions = num_actions
        self._rng = np.random.default_rng(seed)
        self._slip = slip
        self._spell = spell
        self._num_left = 0

    def reset(self) -> None:
        """Start the next life attentively."""
        self._rule.reset()
        self._num_left = 0

    def act_on(self, state: State | None, /) -> int:
        """What the rule says, unless a slip or a spell comes between."""
        assert state is not None, "a player that looks must be shown what was read"
        action = self._rule.act_on(state)
        if self._num_left == 0 and self._rng.random() < self._spell:
            self._num_left = int(self._rng.integers(*_SPELL_FRAMES))
        if self._num_left > 0:
            self._num_left -= 1
            return 0
        return int(self._rng.integers(self._num_actions)) if self._rng.random() < self._slip else action


class RecordedPlayer:
    """Replays recorded actions, round and round, whatever happens."""

    looks = False

    def __init__(self, actions: Sequence[int]) -> None:
        self._actions = list(actions)
        self._next = 0

    def reset(self) -> None:
        """The recording goes on across lives."""

    def act_on(self, _state: State | None, /) -> int:
        """The next recorded action."""
        action = self._actions[self._next % len(self._actions)]
        self._next += 1
        return int(action)


def make_player(name: str, game: Game, seed: int) -> Player:
    """The player of that name; raises ConfigError if there is none."""
    num_actions = len(game.action_names)
    own_seed = derive_seed(seed, "player", name)
    if name in ("rule", "clumsy", "absent"):
        slip = _SLIP if name == "clumsy" else 0.0
        spell = _SPELL_START if name == "absent" else 0.0
        return RulePlayer(game.make_pixel_player(), num_actions, own_seed, slip=slip, spell=spell)
    if name in ("idle", "spam"):
        return SteadyPlayer(int(name == "spam"))
    if name == "random":
        return RandomPlayer(num_actions, own_seed)
    raise ConfigError(
        "player",
        expected="one of " + ", ".join(PLAYER_NAMES),
        found=repr(name),
        next_step="name one of these",
    )
