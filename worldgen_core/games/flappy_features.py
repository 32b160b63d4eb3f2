"""What a Flappy Bird agent sees: six figures, relative to the bird, of what lies ahead in the picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from worldgen_core.games.base import TrueState
from worldgen_core.games.flappy_render import BIRD_HEIGHT, BIRD_X, NATIVE_HEIGHT, NATIVE_WIDTH, PIPE_WIDTH

NUM_FEATURES = 6
_NUM_OPENINGS = 2
_UNSEEN = (float(NATIVE_WIDTH), NATIVE_HEIGHT / 2)


def features(state: TrueState) -> Float32[np.ndarray, " f"]:
    """Distance and relative height of the next two holes, speed and height, scaled to a few units each.

    The environment's own twelve absolute figures leave PPO below 3 survivors of 30; with these it reaches
    30 within a minute. The scale matters: a flap two frames early kills, and with figures of the order of
    one the policy stays too smooth to tell the frames apart (25 survivors). A hole that is not in the
    picture yet counts as one at the right border and half-way up.
    """
    centre = state.height + BIRD_HEIGHT / 2
    ahead = [(o.x, o.centre) for o in state.openings if o.x + PIPE_WIDTH > BIRD_X]
    (x1, y1), (x2, y2) = (ahead + [_UNSEEN] * _NUM_OPENINGS)[:_NUM_OPENINGS]
    return np.array(
        (
            (x1 - BIRD_X) / 25,
            (y1 - centre) / 25,
            (x2 - BIRD_X) / 50,
            (y2 - centre) / 25,
            state.speed / 5,
            centre / 100 - 2,
        ),
        np.float32,
    )
