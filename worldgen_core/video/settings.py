"""Settings of the stage slice_videos; those of scene detection live in scene_settings.py.

What one video needs differently (a wrong frame rate, an offset) is set beside it, in worldgen.yaml: see
sources.py.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worldgen_core.agents.settings import DatasetName
from worldgen_core.neutral import NEUTRAL
from worldgen_core.video.exact import Exact, fraction
from worldgen_core.video.limit_settings import DecodeLimits
from worldgen_core.video.scene_settings import LetterboxSettings, SceneSettings

FormatName = Literal["names", "frames", "runs", "events", "jsonl"]
"""The label formats; see worldgen_core/video/formats."""

Deinterlace = Literal["auto", "off", "always"]
"""`auto` deinterlaces what the file flags as interlaced."""

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]
"""Unit of the time stamps of a label file; `auto` goes by the column's name and by how they are written."""


class Limits(BaseModel):
    """What one video or label file may cost; beyond it, it is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decode: DecodeLimits = DecodeLimits()
    """Time, memory, pixels and frames of one video."""
    label_mib: int = Field(default=64, ge=1, le=1_024)
    """Size of one label file in MiB."""


class SliceSettings(BaseModel):
    """How videos and their labels become episodes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str
    """Name of the game, as in worldgen_core/games: its actions and its keys."""
    dataset_name: DatasetName = "default"
    """Name of the dataset: letters, digits, dot, dash, underscore. Champions are kept by game and name."""
    seed: int = Field(default=0, ge=0)
    """The choice of the validation blocks derives from it by name."""
    rate: Exact = 15
    """Pictures a second of the episodes, exact (30000/1001 is fine); at most the video's own rate."""
    height: int = Field(default=80, ge=8, le=4_096)
    """Rows of the episodes' pictures, in pixels."""
    width: int = Field(default=120, ge=8, le=4_096)
    """Columns of the episodes' pictures, in pixels."""
    episode_frames: int = Field(default=800, ge=2)
    """Frames of each episode."""
    remainder: Literal["drop", "keep"] = "drop"
    """What is left of a stretch after its last whole episode: `keep` makes it a shorter episode."""
    remainder_frames: int = Field(default=100, ge=2)
    """`keep` keeps remainders of at least so many frames."""
    label_format: FormatName | None = None
    """Format of the label files; None goes by their content."""
    time_unit: TimeUnit = "auto"
    """Unit of time stamps in label files."""
    unknown_keys: Literal["error", "ignore"] = "error"
    """Keys in event files that mean no action: refuse the file, or take them for nothing pressed."""
    keymap: dict[str, str | int] = Field(default_factory=dict)
    """Names of keys or labels -> an action's name or id, on top of the game's own. "left+a" names a
    combination of held keys; what maps to action 0 is ignored."""
    source_fps: Exact | None = None
    """Frames a second of the videos in place of their time stamps; None believes the time stamps."""
    offset_frames: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    """Frames of the video by which the labels come too early: the action of frame i is label line
    i - offset_frames. Raising it moves the labels later."""
    clock_rate: Exact = 1
    """Label ticks for each tick of the video: 1.0002 where the labels' clock gains 0.2 ms a second, 0.5 where
    labels were logged at every second frame."""
    tolerance_frames: int = Field(default=2, ge=0, le=10_000)
    """Frames by which labels and video may differ in length."""
    onset_latency_frames: int | None = Field(default=None, ge=0, le=120)
    """Frames from the line in which a key goes down to the first frame that moves, where it is known; then an
    offset of two frames is noticed, else (None) only one of more than four frames beyond what is usual."""
    crop: LetterboxSettings = LetterboxSettings()
    """What is cut out of the picture before it is resized; by default bars that stay black."""
    deinterlace: Deinterlace = "auto"
    """`auto` deinterlaces what is marked as interlaced."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Part of the frames held out, as contiguous blocks of every video."""
    gap_frames: int = Field(default=64, ge=0)
    """Frames left out between a validation block and training, so that they share no seconds."""
    cut_inside_episodes: bool = False
    """Allow cuts and frozen stretches inside episodes."""
    max_quarantined_share: float = Field(default=0.5, ge=0, le=1)
    """The stage fails if a larger part of the frames is unusable."""
    workers: str = Field(
        default="threads", pattern="^(threads|dask|(tcp|tls)://.+)$", json_schema_extra=NEUTRAL
    )
    """Where videos are sliced side by side: `threads`, `dask` (workers on this machine), or the address of a
    Dask scheduler."""
    num_workers: int = Field(default=2, ge=1, le=256, json_schema_extra=NEUTRAL)
    """Videos at a time, with `threads` and `dask`."""
    limits: Limits = Limits()
    """What one file may cost."""
    scenes: SceneSettings = SceneSettings()
    """What counts as a cut, a frozen stretch, a black scene."""

    @model_validator(mode="after")
    def _fits(self) -> SliceSettings:
        if self.rate_exact > 1_000:
            raise ValueError("rate should be at most 1000 pictures a second")
        if not Fraction(1, 100) <= self.clock_exact <= 100:
            raise ValueError("clock_rate should be between 0.01 and 100")
        return self

    @property
    def rate_exact(self) -> Fraction:
        """Pictures a second."""
        return fraction(self.rate)

    @property
    def clock_exact(self) -> Fraction:
        """Label ticks for each tick of the video."""
        return fraction(self.clock_rate)

    @property
    def source_fps_exact(self) -> Fraction | None:
        """Frames a second in place of the time stamps, or None."""
        return None if self.source_fps is None else fraction(self.source_fps)


def smoke(game: str) -> SliceSettings:
    """A few seconds of footage in short episodes."""
    return SliceSettings(game=game, episode_frames=100, gap_frames=20, validation_share=0.2)


def laptop(game: str) -> SliceSettings:
    """Pictures of 120 x 80 at 15 a second, in episodes of 800."""
    return SliceSettings(game=game, validation_share=0.2)


def paper(game: str) -> SliceSettings:
    """The published size, 320 x 240."""
    return SliceSettings(game=game, height=240, width=320)
