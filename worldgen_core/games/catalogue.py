"""Finds a game by name without importing the others, so that a fingerprint holds only the game it uses."""

from __future__ import annotations

import importlib

from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Game

GAME_NAMES = ("flappy",)
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


def get_game(name: str) -> Game:
    """The game of that name; its module's `GAME`."""
    game: Game = importlib.import_module(game_module(name)).GAME
    return game
