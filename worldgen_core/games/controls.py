"""What a person at the keys is told of a game, and how its keys behave; apart from the facts models need.

Nothing that trains imports this, so better words make no model stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Controls:
    """Title and words for people; `taps` are actions that happen once a press, however long it is."""

    title: str
    taps: frozenset[int] = frozenset()
    words: Mapping[int, str] = field(default_factory=dict[int, str])
    """Action id → what it does, in place of the action's name."""


_CONTROLS = {
    "flappy": Controls("Flappy Bird", frozenset({1}), {1: "flap"}),
    "pokemon": Controls("Overworld", words={5: "A: talk, confirm", 6: "B: back", 7: "start"}),
    "overworld": Controls("Overworld", words={5: "A: talk, confirm", 6: "B: back", 7: "start"}),
}


def controls_of(game: str) -> Controls:
    """Controls of the game of that name; one that has none is called by its name, and its keys are held."""
    return _CONTROLS.get(game, Controls(game.capitalize()))
