"""Settings of the stage `slice_video`: one video, resolved."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.neutral import NEUTRAL
from worldgen_core.video.settings import SliceSettings


class SourceProblem(BaseModel):
    """The four facts of an error that was met before the stage began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    """What went wrong where."""
    expected: str
    """What was expected."""
    found: str
    """What was found."""
    next_step: str
    """What to do."""


class SourceSettings(BaseModel):
    """One video with its labels, resolved: what the stage `slice_video` reads.

    The folder says where to read and not what; the contents' digests are inputs of the stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str
    """Name of the game, as in worldgen_core/games."""
    source: str
    """The video's name: its file name without the ending."""
    video: str
    """The video's file, relative to the folder."""
    labels: str | None
    """Its action file; None where there is none, and `problem` says so."""
    problem: SourceProblem | None = None
    """Why it cannot be used, where that was seen without opening it."""
    folder: Path | None = Field(default=None, json_schema_extra=NEUTRAL)
    """Where they are, and nothing outside is read; None for the recorded sample."""
    digests: dict[str, str] = Field(default_factory=dict, json_schema_extra=NEUTRAL)
    """SHA-256 of the files' contents by name; they are inputs of the stage."""
    slices: SliceSettings
    """How it becomes episodes, with what worldgen.yaml says of this video."""
