"""Thresholds that tell still, black and cut frames apart, and how crop boxes are found.

Grey levels are those of small pictures (`signal_height` lines) that were shrunk by area, from 0 to 255: the
shrinking takes most of a codec's noise away.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from worldgen_core.video.records import Box

BoxSetting = Annotated[
    tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt],
    Field(description="x, y, width, height in shown pixels"),
]


class SceneSettings(BaseModel):
    """When frames count as duplicate, frozen, black, or as the start of another scene."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signal_height: int = Field(default=90, ge=16, le=480)
    """Lines of the small gray pictures; more see smaller sprites and more noise."""
    duplicate_level: float = Field(default=6.0, ge=0)
    """Largest change of any pixel between a frame and its duplicate; raise it for noisy video."""
    duplicate_mean: float = Field(default=0.4, ge=0)
    """Largest mean change between a frame and its duplicate."""
    frozen_frames: int = Field(default=90, ge=1)
    """So many frames without any change while a movement key is held are a frozen stretch."""
    frozen_frames_unlabelled: int = Field(default=900, ge=1)
    """The same where nobody says which keys are held: in a tile game the picture may stand still for long."""
    black_enter: float = Field(default=8.0, ge=0, le=255)
    """A frame is black when its bright pixels (99 of 100 are darker) are below this level."""
    black_leave: float = Field(default=20.0, ge=0, le=255)
    """A black stretch lasts until bright pixels are above this level."""
    door_frames: int = Field(default=30, ge=0)
    """A scene that changes within so many frames of a black frame changed by a door, which is no cut."""
    cut_enter: float = Field(default=0.3, ge=0, le=2)
    """A cut: the correlation with the picture before, shifted as fits best, is below 1 minus this."""
    cut_parts: float = Field(default=0.7, ge=0, le=1)
    """A cut also changes at least this share of the picture's sixteen parts; a dialog changes fewer."""
    cut_level: float = Field(default=5.0, ge=0)
    """A part has changed when its pixels did by so many grey levels in the mean."""
    cut_contrast: float = Field(default=3.0, ge=1)
    """A cut changes the picture so many times as much as the frames around it: fast play does not."""
    cut_leave: float = Field(default=0.2, ge=0, le=2)
    """After a cut no other is found until the change has been below this once."""
    flash_frames: int = Field(default=3, ge=0)
    """A change that is undone within so many frames is a flash, which is no cut."""


class LetterboxSettings(BaseModel):
    """Which part of the picture is the game; a mode or a box alone may stand for all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["auto", "off", "fixed"] = "auto"
    """`auto` finds constant black bars, `fixed` takes `box`, `off` takes the whole picture."""
    box: BoxSetting | None = None
    """The part to keep in mode `fixed`, such as the screen inside a phone's bezel."""
    num_samples: int = Field(default=24, ge=2)
    """Frames, spread over the video, that must all show the bars."""
    black_level: int = Field(default=24, ge=0, le=255)
    """Brightest channel value that a bar may have; codecs make black a little lighter."""
    min_bar_pixels: int = Field(default=4, ge=1)
    """Thinner bars are left alone."""
    min_area_share: float = Field(default=0.25, gt=0, le=1)
    """A smaller box is not believed: the sampled scenes were just dark."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"mode": value}
        return {"mode": "fixed", "box": value} if isinstance(value, (list, tuple)) else value

    def fixed_box(self) -> Box | None:
        """The box of mode `fixed`."""
        return Box(*self.box) if self.mode == "fixed" and self.box is not None else None
