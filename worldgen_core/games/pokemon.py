"""A tile RPG that is known from footage alone: its actions, keys and frame size. There is no simulator.

The action names are those of the recipe's label files; what a folder of one's own calls them is mapped by a
keymap (worldgen.yaml).
"""

from __future__ import annotations

from worldgen_core.games.base import GameFacts, ModelAssumptions
from worldgen_core.tracking.settings import FACINGS, TrackingSettings

GAME = GameFacts(
    name="pokemon",
    action_names=("none", "up", "down", "left", "right", "a", "b", "start"),
    keymap={
        "ArrowUp": 1,
        "ArrowDown": 2,
        "ArrowLeft": 3,
        "ArrowRight": 4,
        "KeyW": 1,
        "KeyS": 2,
        "KeyA": 3,
        "KeyD": 4,
        "KeyX": 5,
        "Space": 5,
        "KeyZ": 6,
        "Escape": 6,
        "Enter": 7,
    },
    fps=15,
    native_height=160,
    native_width=240,
    height=80,
    width=120,
    assumptions=ModelAssumptions(
        tracking=TrackingSettings(
            scrolls=True,
            is_diagonal=True,  # recorded frames fall between the game's, so some turns happen within one
            max_shift=4,
            tile_px=8,
            movement={facing: facing for facing in FACINGS},
        )
    ),
)
