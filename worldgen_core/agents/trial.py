"""How long a policy survives: the same games every time, played side by side without drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32, Int64

from worldgen_core.games.base import Game

Chooser = Callable[[Float32[np.ndarray, "b f"]], Int64[np.ndarray, " b"]]


def survived_frames(
    game: Game, choose: Chooser, seeds: Sequence[int], episode_length: int
) -> Int64[np.ndarray, " games"]:
    """Frames of each game before its life ended, at most `episode_length` (then it survived).

    A life that ends with frame t survived t frames: the crash frame does not count.
    """
    survived = np.full(len(seeds), episode_length, np.int64)
    playing = {i: game.make_simulator(seed) for i, seed in enumerate(seeds)}
    for frame in range(1, episode_length):
        if not playing:
            break
        actions = choose(np.stack([game.features(simulator.state) for simulator in playing.values()]))
        ended = [
            i
            for (i, simulator), action in zip(playing.items(), actions.tolist(), strict=True)
            if simulator.advance(action)[1]
        ]
        for i in ended:
            survived[i] = frame
            del playing[i]
    return survived
