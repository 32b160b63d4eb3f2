"""Held-out play: contexts, the actions that followed, and what the game showed.

Row i of everything belongs to start i. Column j of `action`, `truth` and all that describes it is what
followed j + 1 actions after the context, so "after 8 frames" is column 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.players import Player, make_player
from worldgen_core.games.base import Game, Simulator
from worldgen_core.seeds import derive_seed

_MIXTURE = ("rule", "clumsy", "rule", "absent", "rule", "random", "rule", "clumsy")
_MAX_WARMUP = 160
_MAX_ATTEMPTS = 200


@dataclass(frozen=True)
class Context:
    """What a model is given to begin with; `actions[i]` leads from `frames[i]` to `frames[i + 1]`.

    `simulator` is the true game as it stands on the last of the frames, or None in recordings.
    """

    frames: UInt8[np.ndarray, "t h w c"]
    actions: Int64[np.ndarray, " past"]
    simulator: Simulator | None = None


@dataclass(frozen=True)
class Starts:
    """A batch of held-out clips; from `death[i]` (the crash frame) on, clip i only repeats its last frame."""

    context: UInt8[np.ndarray, "b t h w c"]
    context_action: Int64[np.ndarray, "b past"]
    action: Int64[np.ndarray, "b n"]
    truth: UInt8[np.ndarray, "b n h w c"]
    death: Int64[np.ndarray, " b"]
    """Column of the crash frame; the number of columns where the life goes on."""
    height: Float32[np.ndarray, "b n"]
    """True height in native pixels; NaN from one frame after the crash on, and without a simulator."""
    visible: Bool[np.ndarray, "b n"]
    """Where the player is truly in the picture; False where `height` is NaN."""

    @property
    def alive(self) -> Bool[np.ndarray, "b n"]:
        """Where the life goes on; False from the crash frame on."""
        return np.arange(self.action.shape[1])[None] < self.death[:, None]


def true_context(game: Game, *, seed: int, num_frames: int, max_warmup: int) -> Context:
    """Play a fresh life by the rule with slips for a random while; stop alive with the player in sight."""
    for attempt in range(_MAX_ATTEMPTS):
        own_seed = derive_seed(seed, "context", attempt)
        num_warmup = int(np.random.default_rng(own_seed).integers(num_frames - 1, max_warmup + 1))
        simulator = game.make_simulator(derive_seed(own_seed, "life"))
        frames, actions, is_over = [], [], False
        player = make_player("clumsy", game, own_seed)
        while len(actions) < num_warmup and not is_over:
            if len(actions) > num_warmup - num_frames:
                frames.append(simulator.frame)
            actions.append(player.act_on(simulator.state))
            _, is_over = simulator.advance(actions[-1])
        frames.append(simulator.frame)
        if not is_over and simulator.state.found:
            past = np.array(actions[len(actions) - num_frames + 1 :], dtype=np.int64)
            return Context(np.stack(frames), past, simulator)
    raise ConfigError(
        f"held-out play of {game.name}",
        expected=f"one life of up to {max_warmup} frames in {_MAX_ATTEMPTS} attempts",
        found="none",
        next_step="check the game's rule player",
    )


def draw_starts(game: Game, *, seed: int, num_starts: int, horizon: int, num_context_frames: int) -> Starts:
    """Play the true game by a mixture of players from held-out seeds.

    Six of eight starts are played by the rule, with and without slips, so that long horizons have enough
    living players; the others idle in spells or press at random, so that deaths and odd heights are there.
    """
    rows = []
    for i in range(num_starts):
        own_seed = derive_seed(seed, "start", i)
        context = true_context(game, seed=own_seed, num_frames=num_context_frames, max_warmup=_MAX_WARMUP)
        player = make_player(_MIXTURE[i % len(_MIXTURE)], game, own_seed)
        rows.append(play_on(context, player, num_frames=horizon))
    return stack_starts(rows)


def play_on(context: Context, player: Player, *, num_frames: int) -> Starts:
    """Go on from a context by a player who sees the true state; a batch of one."""
    assert context.simulator is not None, "only a simulator can go on"
    simulator = context.simulator
    action = np.zeros((1, num_frames), dtype=np.int64)
    truth = np.empty((1, num_frames, *context.frames.shape[1:]), dtype=np.uint8)
    height = np.full((1, num_frames), np.nan, dtype=np.float32)
    visible = np.zeros((1, num_frames), dtype=bool)
    frame, death = context.frames[-1], num_frames
    for j in range(num_frames):
        if death == num_frames:
            action[0, j] = player.act_on(simulator.state)
            frame, _, is_over = simulator.step(int(action[0, j]))
            height[0, j], visible[0, j] = simulator.state.height, simulator.state.found
            death = j if is_over else num_frames
        truth[0, j] = frame
    return Starts(
        context=context.frames[None],
        context_action=context.actions[None],
        action=action,
        truth=truth,
        death=np.array([death], dtype=np.int64),
        height=height,
        visible=visible,
    )


def stack_starts(rows: list[Starts]) -> Starts:
    """Join batches of equal horizon into one."""
    return Starts(
        context=np.concatenate([row.context for row in rows]),
        context_action=np.concatenate([row.context_action for row in rows]),
        action=np.concatenate([row.action for row in rows]),
        truth=np.concatenate([row.truth for row in rows]),
        death=np.concatenate([row.death for row in rows]),
        height=np.concatenate([row.height for row in rows]),
        visible=np.concatenate([row.visible for row in rows]),
    )
