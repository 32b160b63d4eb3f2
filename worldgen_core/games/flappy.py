"""Flappy Bird as worldgen sees it: joins simulator, reader, player and what models may assume."""

from __future__ import annotations

from worldgen_core.games.base import EventWindow, Game, ModelAssumptions
from worldgen_core.games.flappy_features import NUM_FEATURES, features
from worldgen_core.games.flappy_reader import read_state
from worldgen_core.games.flappy_render import HEIGHT, NATIVE_HEIGHT, NATIVE_WIDTH, WIDTH
from worldgen_core.games.flappy_rules import PixelRulePlayer, rule
from worldgen_core.games.flappy_simulator import make_simulator

PIPE_ENTERS = EventWindow("life_start", share=0.15, offsets=(1, 37, 73), period=113)
"""Three pairs of pipes go round in 113 frames, 36 frames apart: a life's start says when one enters."""

PIPE_IS_LATE = EventWindow("life_start", share=0.10, offsets=(111,), period=113)
"""After the third pair comes a gap of 41 frames, which no picture tells from one of 36 before it is over."""

ASSUMPTIONS = ModelAssumptions(
    new_content="right",
    new_content_columns=4,
    has_static_background=True,
    oversample=(PIPE_ENTERS, PIPE_IS_LATE, EventWindow("terminated", share=0.2)),
)

GAME = Game(
    name="flappy",
    action_names=("idle", "flap"),
    keymap={"Space": 1, "ArrowUp": 1, "KeyW": 1},
    fps=30,
    native_height=NATIVE_HEIGHT,
    native_width=NATIVE_WIDTH,
    height=HEIGHT,
    width=WIDTH,
    make_simulator=make_simulator,
    read_state=read_state,
    make_pixel_player=lambda: PixelRulePlayer(read_state),
    features=features,
    num_features=NUM_FEATURES,
    rule=rule,
    assumptions=ASSUMPTIONS,
)
