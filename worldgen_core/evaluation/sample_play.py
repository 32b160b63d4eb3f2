"""Truth and dream side by side, life after life, under the same actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from worldgen_core.evaluation.dream import Dream, blank_dream, dream_along
from worldgen_core.evaluation.players import make_player
from worldgen_core.evaluation.starts import Starts, play_on, true_context
from worldgen_core.evaluation.walks_panel import Walk
from worldgen_core.games.base import Game
from worldgen_core.models.interface import WorldModel
from worldgen_core.seeds import derive_seed


@dataclass(frozen=True)
class Sample:
    """Frames of both worlds; `action[i]` led to frame i, `…_over` marks frames on which a life ended."""

    truth: UInt8[np.ndarray, "n h w c"]
    dream: UInt8[np.ndarray, "n h w c"]
    action: Int64[np.ndarray, " n"]
    truth_over: Bool[np.ndarray, " n"]
    dream_over: Bool[np.ndarray, " n"]


def play_sample(
    model: WorldModel,
    game: Game,
    *,
    player: str,
    num_frames: int,
    seed: int,
    count: Callable[[int], None] = lambda _: None,
) -> Sample:
    """Let a player play the true game from the start of a life, and the model dream along.

    What the game draws at random is taken from the truth. When the true life ends, both begin a new one.
    """
    parts: list[Sample] = []
    num_left = num_frames
    while num_left > 0:
        own_seed = derive_seed(seed, "sample", len(parts))
        k = model.num_context_frames
        context = true_context(game, seed=own_seed, num_frames=k, max_warmup=k - 1)
        starts = play_on(context, make_player(player, game, own_seed), num_frames=num_left)
        dream = blank_dream(starts)
        dream_along(model, starts, np.zeros(1, dtype=np.int64), dream, seed=own_seed, count=count)
        parts.append(sample_of(starts, dream, 0))
        num_left -= len(parts[-1].action)
    return Sample(
        truth=np.concatenate([part.truth for part in parts]),
        dream=np.concatenate([part.dream for part in parts]),
        action=np.concatenate([part.action for part in parts]),
        truth_over=np.concatenate([part.truth_over for part in parts]),
        dream_over=np.concatenate([part.dream_over for part in parts]),
    )


def walk_sample(walk: Walk, num_frames: int) -> Sample:
    """The beginning of a walk."""
    nowhere = np.zeros(len(walk.action[:num_frames]), np.bool_)
    return Sample(
        walk.truth[:num_frames], walk.dream[:num_frames], walk.action[:num_frames], nowhere, nowhere
    )


def sample_of(starts: Starts, dream: Dream, row: int) -> Sample:
    """One start with its dream, up to and with the crash frame."""
    length = min(int(starts.death[row]) + 1, starts.action.shape[1])
    return Sample(
        truth=starts.truth[row, :length],
        dream=dream.frames[row, :length],
        action=starts.action[row, :length],
        truth_over=np.arange(length) == starts.death[row],
        dream_over=dream.terminated[row, :length] > 0.5,
    )
