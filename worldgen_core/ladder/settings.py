"""Settings of the stages ladder_speed and ladder_quality, and what a rung of the ladder is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.names import BackendName, DeviceName, ModelName, ProfileName

NumberName = Literal["float32", "bf16", "float16"]
LayoutName = Literal["contiguous", "channels_last"]


class Played(BaseModel):
    """A trained model, and how it is played otherwise than its card says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelName
    """Which architecture."""
    precision: NumberName = "float32"
    """What every result inside its networks is rounded to."""
    changes: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Settings of the card that differ, such as the sampler's steps."""


class Rung(BaseModel):
    """One step of the ladder: networks of a size, how they are run, and whose quality that is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As the table names it."""
    model: ModelName
    """Whose networks."""
    profile: ProfileName = "paper"
    """At which size; `paper` for frames of the published size, others for those of the game."""
    changes: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Settings on top of the profile's: section, name, value."""
    precision: NumberName = "float32"
    """Of weights and products."""
    layout: LayoutName = "contiguous"
    """Of pictures in memory."""
    backend: BackendName = "eager"
    """What computes the networks; another than eager is timed as whole frames, from key to picture."""
    is_whole: bool = False
    """Whether whole frames of the trained model are timed, because its networks are not all it does."""
    is_aside: bool = False
    """Whether the next rung goes on from the one before this one."""
    is_published: bool = False
    """Whether the rung is one of the published story."""
    quality: Played | None = None
    """Whose quality this is; None: the trained sizes have no such difference."""


class LadderSettings(BaseModel):
    """How speed, memory and size are measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rungs: tuple[Rung, ...] = Field(min_length=1)
    """What is measured; the first is what ratios refer to."""
    device: DeviceName = "auto"
    """Where to measure; a named device that is missing is an error."""
    num_threads: int = Field(default=1, ge=1, le=64)
    """Threads of torch; the figure people compare is that of one core."""
    num_actions: int = Field(default=2, ge=1)
    """Actions of the game."""
    num_rounds: int = Field(default=3, ge=1, le=50)
    """Times that every network is run in turn; the median counts, and ratios are taken within a round."""
    max_gflop: float = Field(default=250.0, gt=0)
    """A run of more than this is timed on smaller pictures and scaled by its operations."""
    max_emulated_gflop: float = Field(default=4.0, gt=0)
    """The same in a precision that the device has to emulate, which is some thirty times slower."""
    has_memory: bool = True
    """Whether the memory of each rung is measured, in a process of its own; off: it is counted only."""


class LadderQualitySettings(BaseModel):
    """How a trained model is played, and how much of its dream is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    played: Played
    """Which model, and how."""
    evaluate: EvaluateSettings
    """The measurements, the same for every rung."""

    @property
    def game(self) -> str:
        """Whose play is measured."""
        return self.evaluate.game


def ladder_evaluation(settings: EvaluateSettings, *, is_quick: bool) -> EvaluateSettings:
    """Fewer starts and games than a report has: a ladder compares a dozen dreams, and all in the same way."""
    part = 8 if is_quick else 24
    tiles = settings.tiles.model_copy(
        update={
            "num_starts": part,
            "num_walks": part // 4,
            "walk_frames": 64 if is_quick else 128,
            "num_true_starts": part // 2,
            "true_frames": 32,
        }
    )
    return settings.model_copy(
        update={
            "num_starts": part,
            "horizon": 64,
            "num_counterfactuals": part // 2,
            "num_games": part // 4,
            "game_frames": 100,
            "num_stability_frames": 1,
            "stability_segment_frames": 25,
            "num_nearest_frames": 0,
            "sample_frames": 8,
            "tiles": tiles,
        }
    )
