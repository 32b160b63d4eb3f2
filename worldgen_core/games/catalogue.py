"""Finds a game by name without importing the others, so that a fingerprint holds only the game it uses."""

from __future__ import annotations

import importlib

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Game, GameFacts, TileGame

GAME_NAMES = ("flappy", "overworld", "pokemon")
"""Every game that a setting may name."""


def game_module(name: str) -> str:
    """Full name of the module that holds a game; raises ConfigError if there is no such game."""
    if name not in GAME_NAMES:
        raise ConfigError(
            "game",
            expected="one of " + ", ".join(GAME_NAMES),
            found=repr(name),
            next_step="name one of these games",
        )
    return f"worldgen_core.games.{name}"


def get_facts(name: str) -> GameFacts:
    """What is known of the game of that name, of whatever kind; its module's `GAME`."""
    facts: GameFacts = importlib.import_module(game_module(name)).GAME
    return facts


def get_game(name: str) -> Game:
    """The game of that name; raises ConfigError if it is not one of lives and heights."""
    facts = get_facts(name)
    if not isinstance(facts, Game):
        raise _wrong_kind(name, "a game of lives and heights, such as flappy")
    return facts


def get_tile_game(name: str) -> TileGame:
    """The tile game of that name; raises ConfigError if it is of another kind."""
    facts = get_facts(name)
    if not isinstance(facts, TileGame):
        raise _wrong_kind(name, "a tile game with a simulator, such as overworld")
    return facts


def _wrong_kind(name: str, expected: str) -> ConfigError:
    return ConfigError(
        f"game {name}", expected=expected, found="another kind of game", next_step="name one of that kind"
    )
