"""Where a dream may begin: in held-out episodes, and where there is a simulator in fresh lives."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from storage.clips import ClipReader
from storage.records import EpisodeInfo
from worldgen_core.errors import ConfigError
from worldgen_core.games.base import Game, GameFacts, Playable, TileGame
from worldgen_core.seeds import derive_seed

log = logging.getLogger(__name__)

_GOES_ON_S = 2
"""A held-out start is taken only where its life goes on for so many seconds."""


@dataclass(frozen=True)
class Life:
    """How the true game gets to a start: a new life of this seed, then these actions."""

    seed: int
    actions: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Start:
    """A context to dream on from; `actions[i]` leads from `frames[i]` to `frames[i + 1]`.

    There may be more frames than a model needs: it takes the last ones.
    `life` leads the true game to the last of the frames; None where there is no simulator.
    """

    start_id: str
    label: str
    frames: UInt8[np.ndarray, "t h w c"]
    actions: Int64[np.ndarray, " past"]
    life: Life | None


def play_to(facts: GameFacts, life: Life) -> Playable:
    """The true game as it stands at the end of `life`.

    Raises: ConfigError if the game has no simulator.
    """
    if not isinstance(facts, (Game, TileGame)):
        raise ConfigError(
            f"the true game of {facts.name}",
            expected="a game with a simulator",
            found="one that is known from footage alone",
            next_step="play the dream",
        )
    simulator: Playable = facts.make_simulator(life.seed)
    for action in life.actions:
        simulator.advance(action)
    return simulator


def has_simulator(facts: GameFacts) -> bool:
    """Whether the true game can be played."""
    return isinstance(facts, (Game, TileGame))


def fresh_start(facts: GameFacts, *, seed: int, num_frames: int) -> Start:
    """The first frames of a new life in which nothing is pressed.

    Raises: ConfigError if the game has no simulator.
    """
    life_seed = derive_seed(seed, "play", "life")
    simulator = play_to(facts, Life(life_seed, ()))
    frames = [simulator.frame]
    for _ in range(num_frames - 1):
        simulator.advance(0)
        frames.append(simulator.frame)
    idle = (0,) * (num_frames - 1)
    return Start("fresh", "new life", np.stack(frames), np.array(idle, np.int64), Life(life_seed, idle))


def held_out_starts(
    reader: ClipReader, facts: GameFacts, *, num_frames: int, num_starts: int, seed: int = 0
) -> list[Start]:
    """Starts drawn from the validation split, at least two seconds before a life's end; [] if it is empty."""
    length = num_frames + round(_GOES_ON_S * reader.info.fps)
    episodes, firsts = reader.clip_starts(length, "validation")
    if not len(firsts):
        return []
    rng = np.random.default_rng(derive_seed(seed, "play", "starts"))
    picked = np.sort(rng.choice(len(firsts), size=min(num_starts, len(firsts)), replace=False))
    rows = reader.episodes("validation")
    return [
        _held_out_start(reader, facts, rows[int(episodes[i])], int(firsts[i]), num_frames) for i in picked
    ]


def _held_out_start(
    reader: ClipReader, facts: GameFacts, row: EpisodeInfo, first: int, num_frames: int
) -> Start:
    clip = reader.read(row.episode_id, first, num_frames)
    last = first + num_frames - 1
    life = _life_to(reader, facts, row, last)
    if life is not None and not np.array_equal(play_to(facts, life).frame, clip.frames[-1]):
        log.warning(
            "a held-out start has no true game to compare with: the simulator has changed since capture",
            extra={"episode_id": row.episode_id, "frame_index": last},
        )
        life = None
    label = f"{row.episode_id.rsplit('-', 1)[-1]} · {last / reader.info.fps:.0f} s"
    return Start(f"{row.episode_id}@{last}", label, clip.frames, clip.action[:-1], life)


def _life_to(reader: ClipReader, facts: GameFacts, row: EpisodeInfo, last: int) -> Life | None:
    """The life that frame `last` belongs to, if the episode was simulated and says how."""
    source: dict[str, Any] = json.loads(row.source) if row.source.startswith("{") else {}
    if source.get("game") != facts.name or not has_simulator(facts) or "lives" not in source:
        return None
    begin, seed = max((begin, seed) for begin, seed in source["lives"] if begin <= last)
    actions = reader.steps(row.episode_id).action[begin:last]
    return Life(int(seed), tuple(actions.tolist()))
