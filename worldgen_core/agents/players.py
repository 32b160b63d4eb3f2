"""Who plays while episodes are recorded: skilled, weaker, noisy and random players, and how they take turns.

A perfect agent alone shows no deaths and few heights, and a model trained on it cannot answer a person. So
a life is a relay: one player after another takes the controls for a stretch, wherever the one before has
brought the bird. The shares of `Mixture` say how often each is handed the controls; random players get short
stretches, the others long ones:

| player | what it does |
|---|---|
| best | the best policy, never wavering |
| weaker | a policy from earlier in training, drawing its actions from its own probabilities |
| small_noise | the best policy; 2 to 8 % of the actions by chance |
| large_noise | the best policy; 10 to 40 % of the actions by chance |
| rule | the game's rule, with a margin of its own from cutting corners to far too careful |
| holds | the best policy or the rule, with spells of 3 to 14 frames in which it idles or mashes |
| random | looks at nothing; presses with a probability between never and always |

Most lives are begun by a skilled player, who brings them a random way into the game before the relay goes
on; otherwise weak players would fill the data with first seconds. A share of the lives is blind: one random
player has the controls from the first frame to the death, since that is how people who let go or mash die,
and a relay never reaches it (seen: a dream whose bird fell through the ground).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worldgen_core.agents.policy import Policy
from worldgen_core.agents.settings import Mixture
from worldgen_core.games.base import Game, TrueState

Chooser = Callable[[TrueState], int]

STRETCH_FRAMES = (24, 160)
RANDOM_STRETCH_FRAMES = (16, 64)
WARM_UP_FRAMES = (1, 140)
WHOLE_LIFE_FRAMES = (1_000_000, 1_000_001)
RULE_WARM_UPS = 0.3
SMALL_NOISE, LARGE_NOISE = (0.02, 0.08), (0.1, 0.4)
MARGINS = (-6.0, 36.0)
HOLD_FRAMES = (3, 14)
HOLD_START = 0.05
PRESS = (0.03, 0.6)
NOISE_PRESS = 0.25


@dataclass(frozen=True)
class Cast:
    """Everyone who may play: the game's rule and the trained policies."""

    game: Game
    best: Policy
    weaker: Sequence[Policy]


def policy_chooser(game: Game, policy: Policy) -> Chooser:
    """The policy's most probable action."""
    return lambda state: int(policy.scores(game.features(state)).argmax())


def sampling_chooser(game: Game, policy: Policy, rng: np.random.Generator) -> Chooser:
    """Actions drawn from the policy's own probabilities."""

    def choose(state: TrueState) -> int:
        chances = policy.probabilities(game.features(state))
        return min(int(np.searchsorted(chances.cumsum(), rng.random(), side="right")), len(chances) - 1)

    return choose


def rule_chooser(game: Game, margin: float) -> Chooser:
    """The game's rule with this margin."""
    return lambda state: game.rule(state, margin)


def random_chooser(num_actions: int, press: float, rng: np.random.Generator) -> Chooser:
    """Any key with probability `press` a frame, whatever happens."""
    return lambda _state: int(rng.integers(1, num_actions)) if rng.random() < press else 0


def noisy_chooser(skilled: Chooser, noise: Chooser, share: float, rng: np.random.Generator) -> Chooser:
    """The skilled player, with a share of the actions by chance."""
    return lambda state: noise(state) if rng.random() < share else skilled(state)


class HoldingChooser:
    """A skilled player with spells of a few frames in which one action is held, idle or any other."""

    def __init__(self, skilled: Chooser, num_actions: int, rng: np.random.Generator) -> None:
        self._skilled, self._num_actions, self._rng = skilled, num_actions, rng
        self._num_left, self._held = 0, 0

    def __call__(self, state: TrueState) -> int:
        """The held action, or the skilled player's."""
        if self._num_left == 0 and self._rng.random() < HOLD_START:
            self._num_left = int(self._rng.integers(HOLD_FRAMES[0], HOLD_FRAMES[1] + 1))
            self._held = int(self._rng.integers(self._num_actions))
        if self._num_left == 0:
            return self._skilled(state)
        self._num_left -= 1
        return self._held


class Relay:
    """Players taking turns on one episode; all chance comes from one generator, so it can be repeated.

    `turns` lists who took the controls at which frame.
    """

    def __init__(
        self, cast: Cast, mixture: Mixture, rng: np.random.Generator, *, blind_lives: float = 0.0
    ) -> None:
        self._cast, self._rng, self._blind_lives = cast, rng, blind_lives
        shares = mixture.model_dump()
        self._names = list(shares)
        self._edges = np.cumsum(list(shares.values())) / sum(shares.values())
        self._num_left = 0
        self._next_name: str | None = None
        self.turns: list[tuple[int, str]] = []

    def start_life(self) -> None:
        """Choose who begins the life: a skilled player, or a blind one who keeps the controls."""
        self._num_left = 0
        if self._rng.random() < self._blind_lives:
            self._next_name = "random"
            return
        self._next_name = "rule" if self._rng.random() < RULE_WARM_UPS else "best"

    def act(self, frame_index: int, state: TrueState) -> int:
        """The action of whoever has the controls."""
        if self._num_left == 0:
            self._hand_over(frame_index)
        self._num_left -= 1
        return self._chooser(state)

    def _hand_over(self, frame_index: int) -> None:
        if self._next_name is not None:
            name = self._next_name
            limits = WHOLE_LIFE_FRAMES if name == "random" else WARM_UP_FRAMES
        else:
            name = self._names[int(np.searchsorted(self._edges[:-1], self._rng.random(), side="right"))]
            limits = RANDOM_STRETCH_FRAMES if name == "random" else STRETCH_FRAMES
        self._next_name = None
        self._num_left = int(self._rng.integers(*limits))
        self._chooser = self._make(name)
        self.turns.append((frame_index, name))

    def _make(self, name: str) -> Chooser:
        cast, rng = self._cast, self._rng
        num_actions = len(cast.game.action_names)
        best = policy_chooser(cast.game, cast.best)
        noise = random_chooser(num_actions, NOISE_PRESS, rng)
        if name == "weaker" and cast.weaker:
            return sampling_chooser(cast.game, cast.weaker[int(rng.integers(len(cast.weaker)))], rng)
        if name == "small_noise":
            return noisy_chooser(best, noise, float(rng.uniform(*SMALL_NOISE)), rng)
        if name == "large_noise":
            return noisy_chooser(best, noise, float(rng.uniform(*LARGE_NOISE)), rng)
        if name == "rule":
            return rule_chooser(cast.game, float(rng.uniform(*MARGINS)))
        if name == "holds":
            skilled = rule_chooser(cast.game, float(rng.uniform(*MARGINS))) if rng.random() < 0.5 else best
            return HoldingChooser(skilled, num_actions, rng)
        if name == "random":
            return random_chooser(num_actions, _press(rng), rng)
        return best


def _press(rng: np.random.Generator) -> float:
    """Never, always, or something between, even on a logarithmic scale."""
    kind = rng.random()
    if kind < 0.15:
        return 0.0
    return 1.0 if kind < 0.3 else float(np.exp(rng.uniform(*np.log(PRESS))))
