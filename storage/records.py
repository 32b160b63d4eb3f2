"""The records of a dataset: what an episode, a clip and `dataset.json` hold.

Plain frozen dataclasses that every layer above may use. Nothing here reads or writes a file, and nothing
knows which game the frames show. The alignment rule is the project's one: `action[t]` is the action whose
first visible effect can be `frames[t + 1]`; the effect of the last action is not recorded; `terminated[t]`
says that frame t ended a life.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

SCHEMA_VERSION = 1

Split = Literal["train", "validation"]
DatasetFormat = Literal["parquet", "npz"]
SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True, eq=False, slots=True)
class Episode:
    """One whole episode of T frames and T actions, as it is recorded.

    `frames` are RGB, 0 to 255. `source` says where the episode came from, precisely enough to make it again
    (a compact JSON string for a simulated game, file and block for a video). `pts` is the presentation time
    of each frame in ticks of the source, `source_frame` its index there; both rise, and stay where a picture
    was shown for longer. `reward[t]` belongs to the transition from frame t to frame t + 1.
    """

    episode_id: str
    source: str
    split: Split
    frames: UInt8[np.ndarray, "t h w 3"]
    action: Int64[np.ndarray, " t"]
    reward: Float32[np.ndarray, " t"]
    terminated: Bool[np.ndarray, " t"]
    truncated: Bool[np.ndarray, " t"]
    pts: Int64[np.ndarray, " t"]
    source_frame: Int64[np.ndarray, " t"]

    @property
    def num_frames(self) -> int:
        """The number of frames, T."""
        return self.frames.shape[0]


@dataclass(frozen=True, slots=True)
class EpisodeInfo:
    """One row of `episodes.parquet`.

    `shard` is the number in the names of the files that hold the episode. `digest` is the SHA-256 of what the
    episode says (see `storage.schema.episode_digest`): it does not depend on format, codec or shard.
    """

    episode_id: str
    source: str
    split: Split
    num_frames: int
    fps: float
    shard: int
    digest: str


@dataclass(frozen=True, eq=False, slots=True)
class StepTable:
    """What an episode holds besides its pixels, one entry a frame; the arrays are read-only."""

    action: Int64[np.ndarray, " t"]
    reward: Float32[np.ndarray, " t"]
    terminated: Bool[np.ndarray, " t"]
    truncated: Bool[np.ndarray, " t"]

    @property
    def num_bytes(self) -> int:
        """Memory that the arrays take."""
        return self.action.nbytes + self.reward.nbytes + self.terminated.nbytes + self.truncated.nbytes


@dataclass(frozen=True, eq=False, slots=True)
class Clip:
    """Frames `start` to `start + t` of one episode with their steps. The arrays are the caller's own."""

    episode_id: str
    start: int
    frames: UInt8[np.ndarray, "t h w 3"]
    action: Int64[np.ndarray, " t"]
    reward: Float32[np.ndarray, " t"]
    terminated: Bool[np.ndarray, " t"]
    truncated: Bool[np.ndarray, " t"]


@dataclass(frozen=True, slots=True)
class CodecInfo:
    """Which chunk codec wrote the frames, and how hard it tried. Reading needs the name only."""

    name: str = "zstd"
    level: int = 9


@dataclass(frozen=True, slots=True)
class SplitStatistics:
    """Counts over the episodes of one split. `action_counts[i]` belongs to `DatasetInfo.action_names[i]`."""

    num_episodes: int
    num_frames: int
    num_terminated: int
    num_truncated: int
    action_counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """`dataset.json`: what is true of every episode of a dataset.

    Give the first six facts; the writer fills in `format` and `statistics`. `stage` is the stage that makes
    this dataset.
    """

    game: str
    name: str
    height: int
    width: int
    fps: float
    action_names: tuple[str, ...]
    stage: str = "capture"
    format: DatasetFormat = "parquet"
    codec: CodecInfo = CodecInfo()
    frames_per_chunk: int = 16
    statistics: dict[Split, SplitStatistics] = field(default_factory=dict["Split", SplitStatistics])
    schema_version: int = SCHEMA_VERSION

    @property
    def num_episodes(self) -> int:
        """Episodes over all splits."""
        return sum(counts.num_episodes for counts in self.statistics.values())

    @property
    def num_frames(self) -> int:
        """Frames over all splits."""
        return sum(counts.num_frames for counts in self.statistics.values())
