"""Panel 2, part two: players with different habits in the dream with its own randomness, and in the game."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64

from worldgen_core.evaluation.own_play import Play

_LOST_FRAMES = 8
BLIND_PLAYERS = ("idle", "spam", "random")


def players_panel(dream: Play, game: Play, *, game_frames: int) -> dict[str, Any]:
    """Compare how long the rule player lives, and how often a player is in sight under those who do not look.

    A game of the rule player is over when the life ends, or when the player was not found for eight frames
    on end: a dream that has lost the bird must not win by going on. Shares are over all frames that were
    looked at, life after life, in percentage points where they are subtracted.
    """
    survival_dream = float(survived_frames(dream, game_frames).mean())
    survival_game = float(survived_frames(game, game_frames).mean())
    panel: dict[str, Any] = {
        "num_games": len(dream.of("rule")),
        "game_frames": min(game_frames, dream.over.shape[1]),
        "rule_survival_dream": survival_dream,
        "rule_survival_game": survival_game,
        "rule_survival_ratio": survival_dream / survival_game if survival_game else None,
    }
    for name in BLIND_PLAYERS:
        shares = [float(np.nanmean(play.found[play.of(name), :game_frames])) for play in (dream, game)]
        panel[f"{name}_found_dream"], panel[f"{name}_found_game"] = shares
        panel[f"{name}_found_gap_points"] = 100 * abs(shares[0] - shares[1])
        panel[f"{name}_life_frames_dream"] = frames_per_life(dream, name, game_frames)
        panel[f"{name}_life_frames_game"] = frames_per_life(game, name, game_frames)
    return panel


def survived_frames(play: Play, game_frames: int) -> Int64[np.ndarray, " games"]:
    """Frames that each rule player survives in its first life, at most `game_frames`."""
    rows = play.of("rule")
    return np.array([_first_end(play, int(row), game_frames) for row in rows], dtype=np.int64)


def frames_per_life(play: Play, name: str, game_frames: int) -> float:
    """Frames a life of that player lasts on average; lives that go on at the end count in full."""
    over = play.over[play.of(name), :game_frames]
    return float(over.size / max(int(over.sum()), 1))


def _first_end(play: Play, row: int, game_frames: int) -> int:
    over, found = play.over[row, :game_frames], play.found[row, :game_frames]
    end = int(np.argmax(over)) if over.any() else len(over)
    num_lost = 0
    for j in range(end):
        num_lost = num_lost + 1 if found[j] == 0 else 0
        if num_lost == _LOST_FRAMES:
            return j + 1 - _LOST_FRAMES
    return end
