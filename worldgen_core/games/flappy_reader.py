"""Reads bird and openings from a Flappy Bird frame: the true game's, or a dream's with its blur and ghosts.

First the pipes, then the bird in what differs from a picture of these pipes alone. The bird counts as found
if the best fit explains enough of a bird and nothing bird-like is left elsewhere in its columns: two faint
birds are no bird, and neither are two whole ones.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from worldgen_core.games.base import State
from worldgen_core.games.flappy_bird_fit import fit_bird
from worldgen_core.games.flappy_pipe_fit import find_hole, find_pipes
from worldgen_core.games.flappy_render import PipePair, render_without_bird

MIN_QUALITY = 0.3
"""How much of a full bird the best fit must explain."""
MAX_GHOST = 0.35
"""The strongest second bird beside which the first still counts as the only one."""


def read_state(frame: UInt8[np.ndarray, "h w 3"]) -> State:
    """What a frame of 128 rows of 72 pixels shows; heights in native pixels."""
    pixels = frame.astype(np.float32)
    holes = [find_hole(pixels, x) for x in find_pipes(pixels)]
    openings = tuple(hole for hole in holes if hole is not None)
    pipes = tuple(PipePair(int(o.x), round(o.top), round(o.bottom)) for o in openings)
    bird = fit_bird(pixels, render_without_bird(0, pipes))
    found = bird.quality >= MIN_QUALITY and bird.ghost <= MAX_GHOST
    return State(found, bird.height if found else float("nan"), openings)
