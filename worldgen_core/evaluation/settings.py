"""Settings of the stages evaluate, benchmark and publish, and the limits that a playable dream keeps."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.evaluation import tile_settings
from worldgen_core.evaluation.tile_settings import TileSettings
from worldgen_core.names import BackendChoice, DeviceName, ModelName
from worldgen_core.neutral import NEUTRAL

TILE_GAMES = ("overworld", "pokemon")
"""Games recorded at 15 frames a second: to play them, twice that is enough, and four times better."""


class PlayableLimits(BaseModel):
    """What a dream must reach to count as playable; every limit is a criterion of the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bird_found_32: float = Field(default=0.99, ge=0, le=1)
    """Least share of starts whose bird the reader still finds after 32 dreamt frames."""
    bird_found_64: float = Field(default=0.95, ge=0, le=1)
    """The same after 64 frames."""
    bird_found_128: float = Field(default=0.60, ge=0, le=1)
    """The same after 128 frames."""
    height_error_px_8: float = Field(default=2.0, ge=0)
    """Greatest mean distance between dreamt and true height after 8 frames, in native pixels."""
    height_error_px_32: float = Field(default=8.0, ge=0)
    """The same after 32 frames."""
    height_error_px_64: float = Field(default=15.0, ge=0)
    """The same after 64 frames."""
    termination_within_1: float = Field(default=0.90, ge=0, le=1)
    """Least share of true deaths that the dream announces within one frame."""
    false_terminations_per_frame: float = Field(default=0.005, ge=0, le=1)
    """Greatest share of frames on which the dream announces a death that does not happen."""
    flap_response_error: float = Field(default=0.15, ge=0)
    """Greatest relative error of the height that a flap gains over idling within 8 frames."""
    rule_survival_ratio: float = Field(default=0.8, ge=0)
    """Least ratio of the rule player's survival in the dream to its survival in the game."""
    idle_found_gap_points: float = Field(default=10.0, ge=0, le=100)
    """Greatest difference of frames with a bird, dream to game, in points, for a player who does nothing."""
    spam_found_gap_points: float = Field(default=15.0, ge=0, le=100)
    """The same for a player who flaps on every frame."""
    random_found_gap_points: float = Field(default=25.0, ge=0, le=100)
    """The same for a player who presses at random."""


class EvaluateSettings(BaseModel):
    """How much is measured; raising a count makes the figures steadier and the evaluation slower."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str
    """Name of the game, as in worldgen_core/games."""
    model: ModelName = "direct"
    """Which architecture is measured; the staleness of the stage follows its code."""
    seed: int = Field(default=0, ge=0)
    """Seeds of all held-out play derive from it by name, so they never meet the seeds of training."""
    truth: Literal["simulator", "recording"] = "simulator"
    """What the dream is held against; a recording offers fewer panels."""
    world_seed: int | None = Field(default=None, ge=0)
    """Seed of the world that a recording shows, where worldgen recorded it itself: then its simulator is held
    against the dream, too. None: a recording of something else."""
    device: DeviceName = "cpu"
    """Where the model dreams; figures from different devices differ in their last digits."""
    num_threads: int = Field(default=2, ge=1, le=64, json_schema_extra=NEUTRAL)
    """Rollouts side by side, each with one torch thread and a model of its own; no figure depends on it."""
    batch_size: int = Field(default=16, ge=1, le=256)
    """Dreams in one batch."""
    num_starts: int = Field(default=48, ge=2, le=1024)
    """Starts from which dream and truth are played with the same actions."""
    horizon: int = Field(default=128, ge=8, le=2048)
    """Frames that are dreamt from every start, unless the true life ends before."""
    num_counterfactuals: int = Field(default=24, ge=1, le=512)
    """Contexts from which both a flap and idling are tried."""
    num_games: int = Field(default=12, ge=1, le=128)
    """Games of the rule player with the dream's own chance; idle, spam and random share as many slots."""
    game_frames: int = Field(default=300, ge=1, le=10_000)
    """Frames over which the rule player's survival counts, and of every true game beside the dreams."""
    num_stability_frames: int = Field(default=10_000, ge=1)
    """Frames that all those players dream together; the stability panel looks at every one."""
    stability_segment_frames: int = Field(default=100, ge=2)
    """Frames of one segment; the report quotes the worst segment."""
    num_nearest_frames: int = Field(default=1000, ge=0)
    """Training frames among which the nearest one is looked for; 0 leaves that baseline out."""
    sample_frames: int = Field(default=300, ge=8, le=2000)
    """Frames of sample.gif."""
    sample_scale: int = Field(default=3, ge=1, le=8)
    """Integer factor by which pictures are enlarged."""
    sample_max_bytes: int = Field(default=1_500_000, ge=1)
    """Size from which on sample.gif is enlarged less."""
    limits: PlayableLimits = PlayableLimits()
    """What counts as playable in a game of lives and heights."""
    tiles: TileSettings = TileSettings()
    """How much is measured, and what counts as playable, where the player walks on tiles."""

    @property
    def num_blind_slots(self) -> int:
        """Slots of each player who does not look."""
        return max(self.num_games // 3, 1)

    @property
    def num_own_frames(self) -> int:
        """Frames dreamt in every slot with the dream's own randomness."""
        num_slots = self.num_games + 3 * self.num_blind_slots
        return max(self.game_frames, -(-self.num_stability_frames // num_slots))


class BenchmarkSettings(BaseModel):
    """How speed and size are measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelName = "direct"
    """Which architecture is measured; the staleness of the stage follows its code."""
    device: DeviceName = "cpu"
    """Device to measure on."""
    backend: BackendChoice = "auto"
    """What computes the frames; "auto" takes the fastest that is right on the machine, as play does."""
    num_threads: int = Field(default=1, ge=1, le=64)
    """Threads of torch; the figure people compare is that of one core."""
    num_warmup_frames: int = Field(default=20, ge=1)
    """Frames before the clock starts."""
    num_frames: int = Field(default=150, ge=10)
    """Frames of one repeat."""
    num_repeats: int = Field(default=5, ge=1, le=50)
    """Repeats; the median counts, so that a short disturbance does not."""
    min_frames_per_s: float = Field(default=100.0, ge=0)
    """Least frames a second for the dream to count as fluent."""
    stretch_frames_per_s: float | None = None
    """What would be better still; shown, and never judged. None: nothing is shown."""


class PublishSettings(BaseModel):
    """When a new model takes the champion's place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_height_gain_px: float = Field(default=0.1, ge=0)
    """Gain in mean height error at 32 frames that counts as better when both pass equally many criteria."""
    min_psnr_gain_db: float = Field(default=0.1, ge=0)
    """Gain in PSNR at 16 frames that counts as better where the game has no state to read."""


def smoke(game: str = "flappy") -> EvaluateSettings:
    """A few seconds: proves that everything runs, the figures mean little."""
    return EvaluateSettings(
        game=game,
        batch_size=8,
        num_starts=8,
        horizon=32,
        num_counterfactuals=4,
        num_games=3,
        game_frames=30,
        num_stability_frames=200,
        stability_segment_frames=25,
        num_nearest_frames=100,
        sample_frames=60,
        sample_scale=2,
        tiles=tile_settings.smoke(),
    )


def laptop(game: str = "flappy") -> EvaluateSettings:
    """About a minute on two cores; the size of all published figures."""
    return EvaluateSettings(game=game)


def paper(game: str = "flappy") -> EvaluateSettings:
    """Twice the starts and games of `laptop`, for a GPU."""
    return EvaluateSettings(
        game=game,
        device="auto",
        num_threads=1,
        batch_size=48,
        num_starts=96,
        num_counterfactuals=48,
        num_games=24,
    )


def benchmark_smoke(game: str = "flappy") -> BenchmarkSettings:
    """About a second: faster backends would take longer to choose from than to measure."""
    few = {"num_warmup_frames": 3, "num_frames": 20, "num_repeats": 3, "backend": "eager"}
    return benchmark_laptop(game).model_copy(update=few)


def benchmark_laptop(game: str = "flappy") -> BenchmarkSettings:
    """About ten seconds at 100 frames a second."""
    if game in TILE_GAMES:
        return BenchmarkSettings(min_frames_per_s=30.0, stretch_frames_per_s=60.0)
    return BenchmarkSettings()


def benchmark_paper(game: str = "flappy") -> BenchmarkSettings:
    """The laptop's measurement, on the best device there is."""
    return benchmark_laptop(game).model_copy(update={"device": "auto"})


def publish_smoke() -> PublishSettings:
    """The same rule for every profile."""
    return PublishSettings()


def publish_laptop() -> PublishSettings:
    """The same rule for every profile."""
    return PublishSettings()


def publish_paper() -> PublishSettings:
    """The same rule for every profile."""
    return PublishSettings()
