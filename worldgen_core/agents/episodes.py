"""Plays one episode of a simulated game and records it; plays a recorded one again, frame by frame.

Alignment is ARCHITECTURE.md section 3: `action[t]` leads from frame t to frame t + 1, and `reward[t]`
belongs to that way. A crash frame is kept, with `terminated[t]` set; the next frame is the first of a new
life, so the crash frame's action is idle and earns nothing. The last frame's action is recorded and its
effect is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from storage.records import Episode, Split
from worldgen_core.errors import AlignmentError
from worldgen_core.games.base import Game, TrueState
from worldgen_core.games.catalogue import get_game

IDLE = 0


@runtime_checkable
class Performer(Protocol):
    """Whoever has the controls while an episode is recorded."""

    def start_life(self) -> None:
        """A life begins."""
        ...

    def act(self, frame_index: int, state: TrueState) -> int:
        """Choose the action that follows this frame of the episode."""
        ...


@dataclass(frozen=True, eq=False)
class Recording:
    """What was played: one entry a frame, and where each life began with which seed."""

    frames: UInt8[np.ndarray, "t h w 3"]
    action: Int64[np.ndarray, " t"]
    reward: Float32[np.ndarray, " t"]
    terminated: Bool[np.ndarray, " t"]
    lives: tuple[tuple[int, int], ...]


def record(game: Game, performer: Performer, life_seeds: Iterable[int], num_frames: int) -> Recording:
    """Play `num_frames` frames, one life after the other, each with the next of the seeds."""
    seeds = iter(life_seeds)
    lives = [(0, next(seeds))]
    simulator = game.make_simulator(lives[0][1])
    performer.start_life()
    frames = np.empty((num_frames, game.height, game.width, 3), np.uint8)
    action, reward = np.full(num_frames, IDLE, np.int64), np.zeros(num_frames, np.float32)
    terminated = np.zeros(num_frames, bool)
    for t in range(num_frames):
        frames[t] = simulator.frame
        is_last = t + 1 == num_frames
        if not terminated[t]:
            action[t] = performer.act(t, simulator.state)
            if not is_last:
                reward[t], terminated[t + 1] = simulator.advance(int(action[t]))
        elif not is_last:
            lives.append((t + 1, next(seeds)))
            simulator.reset(lives[-1][1])
            performer.start_life()
    return Recording(frames, action, reward, terminated, tuple(lives))


def make_episode(
    recording: Recording, *, episode_id: str, split: Split, game: Game, facts: dict[str, Any]
) -> Episode:
    """Turn a recording into a record of the dataset; its source says how to play it again."""
    source = {"game": game.name, **facts, "lives": recording.lives}
    num_frames = len(recording.action)
    truncated = np.zeros(num_frames, bool)
    truncated[-1] = not recording.terminated[-1]
    return Episode(
        episode_id=episode_id,
        source=json.dumps(source, separators=(",", ":")),
        split=split,
        frames=recording.frames,
        action=recording.action,
        reward=recording.reward,
        terminated=recording.terminated,
        truncated=truncated,
        pts=np.arange(num_frames),
        source_frame=np.arange(num_frames),
    )


@dataclass(frozen=True)
class _Replay:
    actions: Int64[np.ndarray, " t"]

    def start_life(self) -> None:
        """Nothing to prepare."""

    def act(self, frame_index: int, state: TrueState) -> int:  # noqa: ARG002 (a replay does not look)
        """What was done then."""
        return int(self.actions[frame_index])


def replay(source: str, action: Int64[np.ndarray, " t"]) -> Recording:
    """Simulate a recorded episode again from its source and its actions; the same frames come out.

    Raises: AlignmentError if lives do not end where they ended then: these are not the episode's actions, or
    the game has changed since.
    """
    facts = json.loads(source)
    lives = tuple((start, seed) for start, seed in facts["lives"])
    seeds = chain((seed for _, seed in lives), repeat(lives[-1][1]))
    again = record(get_game(facts["game"]), _Replay(action), seeds, len(action))
    if again.lives != lives:
        raise AlignmentError(
            "replay of a recorded episode",
            expected=f"lives that begin at frames {[start for start, _ in lives]}",
            found=f"{[start for start, _ in again.lives]}",
            next_step="pass the episode's own actions, or capture it again with this version of the game",
        )
    return again
