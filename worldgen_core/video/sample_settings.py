"""Settings of the stage `make_sample`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SampleSettings(BaseModel):
    """How much of the overworld is recorded where there is no footage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    """Seed of the world and of its players."""
    num_videos: int = Field(default=3, ge=1, le=100)
    """Videos."""
    num_frames: int = Field(default=11_240, ge=60)
    """Frames of each, at 30 a second."""


def smoke() -> SampleSettings:
    """A few seconds."""
    return SampleSettings(num_videos=2, num_frames=2_400)


def laptop() -> SampleSettings:
    """Three videos that give about twenty episodes of 800 frames, as the recipe had."""
    return SampleSettings()


def paper() -> SampleSettings:
    """The same."""
    return SampleSettings()
