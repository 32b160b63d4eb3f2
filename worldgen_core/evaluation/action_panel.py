"""Panel 2, part one: does the dream do what is pressed? Counterfactual pairs, and presses read back."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.players import RecordedPlayer
from worldgen_core.evaluation.rollouts import Along
from worldgen_core.evaluation.starts import Starts, play_on, stack_starts, true_context
from worldgen_core.games.base import Game
from worldgen_core.seeds import derive_seed

RESPONSE_FRAMES = 8
_MAX_WARMUP = 120
_MAX_ATTEMPTS = 20


def counterfactual_starts(game: Game, *, seed: int, num_pairs: int, num_context_frames: int) -> Starts:
    """Pairs of clips from the same contexts: first half idles for 8 frames, second half presses once first.

    Only contexts after which the player lives and stays in the picture both ways.
    """
    idle: list[Starts] = []
    pressed: list[Starts] = []
    for attempt in range(_MAX_ATTEMPTS * num_pairs):
        if len(idle) == num_pairs:
            return stack_starts([*idle, *pressed])
        own_seed = derive_seed(seed, "pair", attempt)
        pair = [_branch(game, own_seed, first, num_context_frames) for first in (0, 1)]
        if all(branch.alive.all() and branch.visible.all() for branch in pair):
            idle.append(pair[0])
            pressed.append(pair[1])
    raise ConfigError(
        f"counterfactual pairs of {game.name}",
        expected=f"{num_pairs} contexts that survive {RESPONSE_FRAMES} frames with and without a press",
        found=str(len(idle)),
        next_step="lower evaluate.num_counterfactuals",
    )


def action_panel(pairs: Along, along: Along) -> dict[str, Any]:
    """How far a press lifts the player in the dream, and how clearly presses show in the heights.

    `flap_response_error` is the ratio of means |mean dreamt lift - mean true lift| / |mean true lift|, the
    lift being idle height minus pressed height after 8 frames, over the pairs in which the reader finds the
    player both ways; `flap_pairs_read` says how many those are, and fewer than half make the figure None.
    `press_correlation` is that of the action with the upward jerk of the height it causes; see
    `press_correlation`.
    """
    true_lift = _lift(pairs.starts.height)
    dream_lift = _lift(pairs.dream_height)
    reader_lift = _lift(pairs.truth_height)
    action = along.starts.action
    return {
        "flap_response_error": _relative_error(dream_lift, true_lift),
        "reader_flap_response_error": _relative_error(reader_lift, true_lift),
        "flap_lift_px_dream": _mean(dream_lift),
        "flap_lift_px_true": _mean(true_lift),
        "flap_lift_difference_px": _mean(np.abs(dream_lift - true_lift)),
        "flap_pairs": len(true_lift),
        "flap_pairs_read": int(np.isfinite(dream_lift).sum()),
        "press_correlation": press_correlation(along.dream_height, action),
        "reader_press_correlation": press_correlation(along.truth_height, action),
    }


def press_correlation(height: Float32[np.ndarray, "s n"], action: Int64[np.ndarray, "s n"]) -> float | None:
    """Correlation of pressing with the upward jerk it causes, minus the second difference of height.

    This is inverse dynamics in its smallest form. A dream that ignores its actions scores 0; the true game
    scores what `reader_press_correlation` says, which is below 1 because a press while rising hardly shows.
    """
    jerk = -(height[:, 2:] - 2 * height[:, 1:-1] + height[:, :-2])
    pressed = (action[:, 2:] != 0).astype(np.float64)
    is_read = np.isfinite(jerk)
    x, y = jerk[is_read].astype(np.float64), pressed[is_read]
    if len(x) < RESPONSE_FRAMES or x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _branch(game: Game, seed: int, first_action: int, num_context_frames: int) -> Starts:
    context = true_context(game, seed=seed, num_frames=num_context_frames, max_warmup=_MAX_WARMUP)
    player = RecordedPlayer([first_action, *[0] * (RESPONSE_FRAMES - 1)])
    return play_on(context, player, num_frames=RESPONSE_FRAMES)


def _lift(height: Float32[np.ndarray, "b 8"]) -> Float32[np.ndarray, " pairs"]:
    idle, pressed = np.split(height[:, -1], 2)
    return idle - pressed


def _relative_error(
    lift: Float32[np.ndarray, " pairs"], true_lift: Float32[np.ndarray, " pairs"]
) -> float | None:
    is_read = np.isfinite(lift)
    if 2 * is_read.sum() < len(lift):
        return None
    true_mean = float(true_lift[is_read].mean(dtype=np.float64))
    return abs(float(lift[is_read].mean(dtype=np.float64)) - true_mean) / abs(true_mean)


def _mean(values: Float32[np.ndarray, " n"]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if finite.size else None
