"""Settings of the stages that work on the decoder alone, and their sizes by profile."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.models.light_decoder import LightDecoderSettings
from worldgen_core.names import ModelName
from worldgen_core.neutral import NEUTRAL
from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings


class DecoderTrainingSettings(BaseModel):
    """What both trainings of a decoder read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    is_on: bool = Field(default=False, json_schema_extra=NEUTRAL)
    """Whether the recipe runs this stage."""
    game: str = "flappy"
    """Whose assumptions the network may make; the staleness of the stage follows that game's file."""
    model: ModelName = Field(default="diamond-vae", json_schema_extra=NEUTRAL)
    """Whose latents they are; for messages."""
    seed: int = 0
    """Of weights and batches."""
    num_steps: int = Field(ge=1)
    """Training steps."""
    batch_size: int = Field(ge=1)
    """Frames a step."""
    foreground_weight: float = Field(default=4.0, ge=0)
    """Extra weight of pixels that differ from the median frame, so that small moving things count."""
    foreground_level: float = Field(default=0.1, ge=0)
    """From which difference on a pixel counts as foreground, in units of [-1, 1]."""
    num_validation_frames: int = Field(default=256, ge=1)
    """Validation frames over which decoders are compared."""
    loop: LoopSettings = LoopSettings()
    """Optimizer, schedule, checkpoints, threads and device."""


class FinetuneDecoderSettings(DecoderTrainingSettings):
    """How the autoencoder's own decoder is trained on, with the encoder left as it is."""


class DistilDecoderSettings(DecoderTrainingSettings):
    """How a light decoder learns from the autoencoder's own."""

    architecture: LightDecoderSettings = LightDecoderSettings()
    """Its size."""
    teacher_weight: float = Field(default=0.5, ge=0, le=1)
    """Share of the loss that compares with the full decoder's picture; the rest compares with the truth."""
    latent_noise: float = Field(default=0.1, ge=0)
    """Deviation of noise on the latents that the full decoder is asked about, of theirs: a dream's latents
    are never quite those of a frame."""
    num_teacher_frames: int = Field(default=4, ge=1)
    """Frames of a batch that the full decoder is asked about; it costs many times what it teaches."""


class AttachDecoderSettings(BaseModel):
    """What a decoder has to be worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_loss_db: float = Field(default=1.0, ge=0)
    """PSNR that a light decoder may lose against the full one on held-out frames; one that loses more is left
    out, and the full one stays."""


def attach_smoke() -> AttachDecoderSettings:
    """Takes anything: nothing has learnt much."""
    return AttachDecoderSettings(max_loss_db=60.0)


def attach_laptop() -> AttachDecoderSettings:
    """As everywhere."""
    return AttachDecoderSettings()


def attach_paper() -> AttachDecoderSettings:
    """As everywhere."""
    return AttachDecoderSettings()


def finetune_smoke() -> FinetuneDecoderSettings:
    """A second: proves that it runs."""
    return FinetuneDecoderSettings(num_steps=20, batch_size=8, num_validation_frames=32, loop=_smoke_loop())


def finetune_laptop() -> FinetuneDecoderSettings:
    """About a minute on two cores."""
    return FinetuneDecoderSettings(num_steps=800, batch_size=8, loop=_laptop_loop())


def finetune_paper() -> FinetuneDecoderSettings:
    """For a GPU."""
    return FinetuneDecoderSettings(num_steps=20_000, batch_size=32, loop=_paper_loop())


def distil_smoke() -> DistilDecoderSettings:
    """A second: proves that it runs."""
    return DistilDecoderSettings(
        architecture=LightDecoderSettings(width=16, num_blocks=1, fine_width=8, num_fine_blocks=0),
        num_steps=30,
        batch_size=8,
        num_validation_frames=32,
        loop=_smoke_loop(),
    )


def distil_laptop() -> DistilDecoderSettings:
    """A minute and a half on two cores; six tenths of the operations of that profile's own decoder."""
    return DistilDecoderSettings(
        architecture=LightDecoderSettings(width=32, num_blocks=2, fine_width=16, num_fine_blocks=0),
        num_steps=1500,
        batch_size=8,
        loop=_laptop_loop(),
    )


def distil_paper() -> DistilDecoderSettings:
    """A fortieth of the work of TAESD's decoder, for a GPU."""
    return DistilDecoderSettings(is_on=True, num_steps=50_000, batch_size=32, loop=_paper_loop())


def _smoke_loop() -> LoopSettings:
    return LoopSettings(
        optimizer=OptimizerSettings(rate=3e-3),
        warmup_steps=5,
        ema_decay=0.9,
        checkpoint_every=10,
        log_every=5,
        num_threads=1,
    )


def _laptop_loop() -> LoopSettings:
    return LoopSettings(optimizer=OptimizerSettings(rate=3e-3), ema_decay=0.99, precision="auto")


def _paper_loop() -> LoopSettings:
    return LoopSettings(
        optimizer=OptimizerSettings(rate=1e-3, beta2=0.99, muon_rate=0.0),
        warmup_steps=500,
        ema_decay=0.999,
        checkpoint_every=2000,
        log_every=100,
        precision="auto",
    )
