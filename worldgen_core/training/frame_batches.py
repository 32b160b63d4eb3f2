"""Single frames of a dataset, for an autoencoder: random batches, and samples spread over a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from storage.clips import ClipReader, batch_indices
from storage.records import Split
from worldgen_core.batch import array_to_tensor
from worldgen_core.errors import ConfigError


class Place(NamedTuple):
    """Where a frame is in its dataset."""

    episode_id: str
    frame: int


class FrameSampler:
    """Frames of one split by number; memory does not grow with the pictures."""

    def __init__(self, reader: ClipReader, split: Split) -> None:
        self._reader = reader
        self._episodes = reader.episodes(split)
        self._firsts = np.cumsum([0, *(row.num_frames for row in self._episodes)])
        if self.num_frames == 0:
            raise ConfigError(
                f"{reader.folder}: {split} frames",
                expected="at least one episode",
                found="none",
                next_step="capture more episodes",
            )

    @property
    def num_frames(self) -> int:
        """Frames of the split."""
        return int(self._firsts[-1])

    def batch(self, train_step: int, *, batch_size: int, seed: int) -> UInt8[Tensor, "b h w c"]:
        """The frames of one training step, a pure function of seed and step; each frame once an epoch."""
        return self.read(self.places(train_step, batch_size=batch_size, seed=seed))

    def places(self, train_step: int, *, batch_size: int, seed: int) -> list[Place]:
        """Where the frames of `batch` are, for what else is known of them."""
        numbers = batch_indices(self.num_frames, batch_size, seed=seed, train_step=train_step)
        return self._places(numbers)

    def spread(self, num_frames: int) -> UInt8[Tensor, "b h w c"]:
        """At most `num_frames` frames, evenly spaced over the split."""
        return self.read(self.spread_places(num_frames))

    def spread_places(self, num_frames: int) -> list[Place]:
        """Where the frames of `spread` are."""
        num = min(num_frames, self.num_frames)
        return self._places(np.arange(num, dtype=np.int64) * self.num_frames // num)

    def read(self, places: Sequence[Place]) -> UInt8[Tensor, "b h w c"]:
        """The frames at these places."""
        clips = [self._reader.read(place.episode_id, place.frame, 1) for place in places]
        return array_to_tensor(np.concatenate([clip.frames for clip in clips]))

    def _places(self, numbers: Int64[np.ndarray, " b"]) -> list[Place]:
        episodes = np.searchsorted(self._firsts, numbers, side="right") - 1
        return [
            Place(self._episodes[episode].episode_id, int(number - self._firsts[episode]))
            for episode, number in zip(episodes.tolist(), numbers.tolist(), strict=True)
        ]
