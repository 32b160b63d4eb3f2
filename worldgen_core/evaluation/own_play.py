"""Play with a world's own randomness: players meet a dream, or the true game, life after life.

Frames are measured as they come and dropped, so that ten thousand of them cost no memory; a few stills
remain to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from worldgen_core.evaluation.dream import Count
from worldgen_core.evaluation.image_metrics import luma, sharpness
from worldgen_core.evaluation.players import Player
from worldgen_core.evaluation.starts import Context
from worldgen_core.games.base import Frame, State

_LOOK_EVERY = 4
"""How often the state is read for players that do not look themselves."""
NUM_STILLS = 12

Read = Callable[[Frame], State]
Fresh = Callable[[int, int], Context]
"""Gives the context of a slot's life: (slot, life)."""


@runtime_checkable
class Slots(Protocol):
    """Worlds side by side: `dream.DreamSlots`, `dream.GameSlots` or `recorded.RecordedSlots`."""

    @property
    def frames(self) -> UInt8[np.ndarray, "s h w c"]:
        """The current frame of every slot."""
        ...

    def step(self, action: Int64[np.ndarray, " s"]) -> Bool[np.ndarray, " s"]:
        """Go on by one frame; returns where the life ended."""
        ...

    def restart(self, fresh: dict[int, Context]) -> None:
        """Start the given slots anew."""
        ...


@dataclass(frozen=True)
class Play:
    """What happened, a row a slot and a column a frame."""

    players: tuple[str, ...]
    over: Bool[np.ndarray, "s n"]
    """Where a life ended; the next column belongs to the next life."""
    found: Float32[np.ndarray, "s n"]
    """1 where the reader found the player, 0 where not, NaN where nobody looked."""
    sharpness: Float32[np.ndarray, "s n"]
    brightness: Float32[np.ndarray, "s n"]
    motion: Float32[np.ndarray, "s n"]
    """Mean change of brightness since the frame before, of 255 levels."""
    stills: UInt8[np.ndarray, "s m h w c"]

    def of(self, player: str) -> Int64[np.ndarray, " rows"]:
        """The rows of one player."""
        return np.flatnonzero(np.array(self.players) == player)


def play(
    slots: Slots,
    players: Sequence[Player],
    names: Sequence[str],
    fresh: Fresh,
    *,
    num_frames: int,
    read: Read | None,
    count: Count,
) -> Play:
    """Let every player play in its slot; a life that ends is followed by a fresh one at once."""
    num_slots = len(players)
    shape = (num_slots, num_frames)
    over = np.zeros(shape, dtype=bool)
    found, sharp, bright, motion = (np.full(shape, np.nan, dtype=np.float32) for _ in range(4))
    still_columns = np.linspace(0, num_frames - 1, min(NUM_STILLS, num_frames)).astype(int).tolist()
    stills: list[np.ndarray] = []
    lives = [0] * num_slots
    states = [_look(read, frame, player) for frame, player in zip(slots.frames, players, strict=True)]
    for j in range(num_frames):
        before = luma(slots.frames)
        action = [player.act_on(state) for player, state in zip(players, states, strict=True)]
        over[:, j] = slots.step(np.array(action, dtype=np.int64))
        frames = slots.frames.copy()
        picture = luma(frames)
        sharp[:, j] = sharpness(frames)
        bright[:, j] = picture.mean(axis=(1, 2))
        motion[:, j] = np.abs(picture - before).mean(axis=(1, 2))
        is_due = (j + 1) % _LOOK_EVERY == 0
        states = [
            _look(read, frame, None if is_due else player)
            for frame, player in zip(frames, players, strict=True)
        ]
        found[:, j] = [np.nan if state is None else float(state.found) for state in states]
        if j in still_columns:
            stills.append(frames)
        ended = np.flatnonzero(over[:, j]).tolist()
        for slot in ended:
            lives[slot] += 1
            players[slot].reset()
        slots.restart({slot: fresh(slot, lives[slot]) for slot in ended})
        for slot in ended:
            states[slot] = _look(read, slots.frames[slot], players[slot])
        count(num_slots)
    return Play(tuple(names), over, found, sharp, bright, motion, np.stack(stills, axis=1))


def join_plays(plays: Sequence[Play]) -> Play:
    """All slots of several plays of equal length."""
    return Play(
        players=tuple(name for one in plays for name in one.players),
        over=np.concatenate([one.over for one in plays]),
        found=np.concatenate([one.found for one in plays]),
        sharpness=np.concatenate([one.sharpness for one in plays]),
        brightness=np.concatenate([one.brightness for one in plays]),
        motion=np.concatenate([one.motion for one in plays]),
        stills=np.concatenate([one.stills for one in plays]),
    )


def _look(read: Read | None, frame: Frame, player: Player | None) -> State | None:
    """Read the state if there is a reader, and either the player looks or `player` is None: it is due."""
    if read is None or (player is not None and not player.looks):
        return None
    return read(frame)
