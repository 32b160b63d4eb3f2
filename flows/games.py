"""Which recipe builds which game."""

from __future__ import annotations

from collections.abc import Callable

from flows.building import BuildResult, Recipe
from flows.flappy import RECIPE as FLAPPY
from flows.flappy import build_flappy, flappy_recipe
from flows.pokemon import RECIPE as POKEMON
from flows.pokemon import build_pokemon, pokemon_recipe
from worldgen_core.errors import ConfigError
from worldgen_core.names import GameName

RECIPES: dict[GameName, tuple[str, Recipe, Callable[..., BuildResult]]] = {
    "flappy": (FLAPPY, flappy_recipe, build_flappy),
    "pokemon": (POKEMON, pokemon_recipe, build_pokemon),
}


def recipe_of(game: str) -> tuple[str, Recipe, Callable[..., BuildResult]]:
    """Name, list of stages, and flow of a game's recipe.

    Raises: ConfigError for a game that has none.
    """
    for name, entry in RECIPES.items():
        if name == game:
            return entry
    raise ConfigError(
        f"game {game!r}",
        expected=f"one of {', '.join(RECIPES)}",
        found=repr(game),
        next_step=f"worldgen build {next(iter(RECIPES))}",
    )
