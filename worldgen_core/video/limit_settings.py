"""Limits on what one video may cost; they protect the machine and never change a picture."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DecodeLimits(BaseModel):
    """Time, memory, pixels and frames that probing or decoding one video may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_bytes: int = Field(default=2 << 30, ge=256 << 20)
    """Address space of the decoding process; 4K video needs about 1 GiB."""
    stall_s: float = Field(default=60.0, gt=0)
    """The decoding process is ended when it has shown no sign of life for so long."""
    wall_s: float = Field(default=4 * 3600.0, gt=0)
    """Longest time spent waiting for one video; time in which nobody takes the pictures does not count."""
    cpu_s: float = Field(default=4 * 3600.0, gt=0)
    """Longest processor time for one video; fractions of a second are rounded up."""
    max_pixels: int = Field(default=4096 * 2304, ge=1)
    """Largest picture, width times height; checked before anything is decoded."""
    max_frames: int = Field(default=4_000_000, ge=2)
    """Most frames in one video: 18 hours at 60 frames/s."""
    max_fps: float = Field(default=1000.0, gt=0)
    """A higher rate is taken for broken timestamps."""
    max_duration_s: float = Field(default=48 * 3600.0, gt=0)
    """A longer span between first and last frame is taken for broken timestamps."""
