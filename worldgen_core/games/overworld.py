"""The overworld as worldgen sees it: a small tile game of our own, to try everything without a download.

Joins simulator, reader and what models may assume. A recorded frame is two ticks: a step takes four frames
and moves the picture by two whole pixels in each.
"""

from __future__ import annotations

from worldgen_core.games.base import ModelAssumptions, TileGame
from worldgen_core.games.overworld_finding import locate
from worldgen_core.games.overworld_pixels import TILE
from worldgen_core.games.overworld_reader import read_state
from worldgen_core.games.overworld_render import NATIVE_HEIGHT, NATIVE_WIDTH
from worldgen_core.games.overworld_simulator import (
    ACTION_NAMES,
    DOWN,
    LEFT,
    RIGHT,
    START,
    TICKS_PER_SECOND,
    UP,
    A,
    B,
    make_simulator,
)
from worldgen_core.tracking.settings import FACINGS, TrackingSettings

KEYMAP = {
    "ArrowUp": UP,
    "ArrowDown": DOWN,
    "ArrowLeft": LEFT,
    "ArrowRight": RIGHT,
    "KeyW": UP,
    "KeyS": DOWN,
    "KeyA": LEFT,
    "KeyD": RIGHT,
    "KeyX": A,
    "Space": A,
    "KeyZ": B,
    "Escape": B,
    "Enter": START,
}

GAME = TileGame(
    name="overworld",
    action_names=ACTION_NAMES,
    keymap=KEYMAP,
    fps=TICKS_PER_SECOND // 2,
    native_height=NATIVE_HEIGHT,
    native_width=NATIVE_WIDTH,
    height=NATIVE_HEIGHT // 2,
    width=NATIVE_WIDTH // 2,
    assumptions=ModelAssumptions(
        tracking=TrackingSettings(
            scrolls=True, max_shift=4, tile_px=TILE // 2, movement={facing: facing for facing in FACINGS}
        )
    ),
    tile_size=TILE,
    make_simulator=make_simulator,
    read_state=read_state,
    locate=locate,
)
