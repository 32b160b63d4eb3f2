"""Held-out play where there is only a recording: clips, contexts and reference pictures from a dataset."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from storage.clips import ClipReader
from storage.records import Clip
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.starts import Context, Starts


def recorded_starts(
    reader: ClipReader, *, seed: int, num_starts: int, horizon: int, num_context_frames: int
) -> Starts:
    """Clips of the validation split, evenly drawn; none crosses the end of a life, some may end on it."""
    length = num_context_frames + horizon
    episodes, firsts = reader.clip_starts(length, "validation")
    if not len(firsts):
        raise ConfigError(
            f"{reader.folder}: held-out clips",
            expected=f"at least one validation clip of {length} frames",
            found="none",
            next_step="ask for fewer frames (evaluate.horizon, or --frames), or hold out longer recordings",
        )
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(firsts), size=min(num_starts, len(firsts)), replace=False)
    rows = reader.episodes("validation")
    clips = [reader.read(rows[int(episodes[i])].episode_id, int(firsts[i]), length) for i in picked]
    return _starts_of(clips, num_context_frames)


def training_frames(reader: ClipReader, *, seed: int, num_frames: int) -> UInt8[np.ndarray, "n h w c"] | None:
    """Frames of the training split, drawn at random; None if the split is empty or none are wanted."""
    rows = reader.episodes("train")
    if not rows or not num_frames:
        return None
    rng = np.random.default_rng(seed)
    lengths = np.array([row.num_frames for row in rows])
    where = np.sort(rng.choice(lengths.sum(), size=min(num_frames, int(lengths.sum())), replace=False))
    ends = np.cumsum(lengths)
    episodes = np.searchsorted(ends, where, side="right")
    firsts = where - (ends - lengths)[episodes]
    clips = [
        reader.read(rows[int(i)].episode_id, int(first), 1) for i, first in zip(episodes, firsts, strict=True)
    ]
    return np.concatenate([clip.frames for clip in clips])


def recorded_context(starts: Starts, row: int) -> Context:
    """The context of one recorded start."""
    return Context(starts.context[row], starts.context_action[row])


class RecordedSlots:
    """Recordings side by side, with the interface of `dream.DreamSlots`: they go on whatever is pressed."""

    def __init__(self, starts: Starts) -> None:
        self._starts = starts
        self._column = -1

    @property
    def frames(self) -> UInt8[np.ndarray, "s h w c"]:
        """The current frame of every slot."""
        return self._starts.truth[:, self._column] if self._column >= 0 else self._starts.context[:, -1]

    def step(self, action: Int64[np.ndarray, " s"]) -> Bool[np.ndarray, " s"]:
        """Show the next frame everywhere; no life ends."""
        self._column += 1
        return np.zeros(len(action), dtype=bool)

    def restart(self, fresh: dict[int, Context]) -> None:
        """Never asked for, as no life ends."""


def _starts_of(clips: list[Clip], num_context_frames: int) -> Starts:
    frames = np.stack([clip.frames for clip in clips])
    action = np.stack([clip.action for clip in clips])
    ends = np.array([clip.terminated[-1] for clip in clips])
    k = num_context_frames
    shape = (len(clips), frames.shape[1] - k)
    return Starts(
        context=frames[:, :k],
        context_action=action[:, : k - 1],
        action=action[:, k - 1 : -1],
        truth=frames[:, k:],
        death=np.where(ends, shape[1] - 1, shape[1]).astype(np.int64),
        height=np.full(shape, np.nan, dtype=np.float32),
        visible=np.zeros(shape, dtype=bool),
    )
