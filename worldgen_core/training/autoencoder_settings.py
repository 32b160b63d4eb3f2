"""Settings of the stages train_autoencoder and encode_latents, and their sizes by profile."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worldgen_core.models.autoencoder import KlAutoencoderSettings
from worldgen_core.models.latent_space import (
    Architecture,
    KlArchitecture,
    SdVaeArchitecture,
    TaesdArchitecture,
)
from worldgen_core.names import DeviceName, ModelName
from worldgen_core.neutral import NEUTRAL
from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings


class AutoencoderSettings(BaseModel):
    """How the autoencoder is built and trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str = "flappy"
    """Whose assumptions the network may make; the staleness of the stage follows that game's file."""
    model: ModelName = Field(default="diamond-vae", json_schema_extra=NEUTRAL)
    """Whose latents they are; for messages."""
    seed: int
    """Of weights, batches and noise."""
    architecture: Architecture
    """Which network, and its size."""
    weights_folder: Path | None = None
    """Folder with weights to start from, in the layout of diffusers' AutoencoderTiny (`taesd`) or
    AutoencoderKL (`sd`); None starts from nothing. Not for the `kl` architecture."""
    weights_digest: str = ""
    """SHA-256 over the files of that folder, filled in, so that other weights make the stage stale."""
    trains_encoder: bool = True
    """Off: only the decoder learns, which keeps imported latents as they are."""
    num_steps: int = Field(ge=0)
    """Training steps; 0 takes the weights as they are."""
    batch_size: int = Field(ge=1)
    """Frames a step."""
    kl_weight: float = Field(default=2e-3, ge=0)
    """Price of a nat a latent value; raising it makes latents smoother and pictures softer."""
    foreground_weight: float = Field(default=4.0, ge=0)
    """Extra weight of pixels that differ from the median frame, so that small moving things count."""
    foreground_level: float = Field(default=0.1, ge=0)
    """From which difference on a pixel counts as foreground, in units of [-1, 1]."""
    num_statistics_frames: int = Field(default=512, ge=2)
    """Training frames over which the latents' mean and deviation are measured."""
    num_validation_frames: int = Field(default=256, ge=1)
    """Validation frames over which the round trip is measured."""
    loop: LoopSettings = LoopSettings()
    """Optimizer, schedule, checkpoints, threads and device."""

    @model_validator(mode="after")
    def _weights_fit_the_architecture(self) -> AutoencoderSettings:
        if self.weights_folder is not None and self.architecture.name == "kl":
            raise ValueError("weights_folder needs the architecture `taesd` or `sd`")
        return self


class LatentSettings(BaseModel):
    """How frames are encoded once and for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["float16", "float32"] = "float16"
    """Of the stored values; float16 halves the size, with an error far below the autoencoder's own."""
    batch_size: int = Field(default=64, ge=1)
    """Frames encoded at once."""
    num_threads: int = Field(default=2, ge=1)
    """CPU threads; part of the result, since sums depend on their order."""
    device: DeviceName = "auto"
    """Where to encode; a named device that is missing is an error."""


def smoke() -> AutoencoderSettings:
    """A few seconds: proves that everything runs."""
    return AutoencoderSettings(
        seed=0,
        architecture=KlArchitecture(settings=KlAutoencoderSettings(width=24, num_decoder_blocks=1)),
        num_steps=60,
        batch_size=8,
        num_statistics_frames=64,
        num_validation_frames=32,
        loop=LoopSettings(
            optimizer=OptimizerSettings(rate=3e-3),
            warmup_steps=10,
            ema_decay=0.9,
            checkpoint_every=30,
            log_every=10,
            num_threads=1,
        ),
    )


def laptop() -> AutoencoderSettings:
    """About two and a half minutes on two cores."""
    return AutoencoderSettings(
        seed=0,
        architecture=KlArchitecture(settings=KlAutoencoderSettings(width=48)),
        num_steps=2400,
        batch_size=8,
        loop=LoopSettings(optimizer=OptimizerSettings(rate=3e-3), ema_decay=0.99, precision="auto"),
    )


def paper() -> AutoencoderSettings:
    """TAESD's shape (1.2M parameters each way), for a GPU."""
    return AutoencoderSettings(
        seed=0,
        architecture=TaesdArchitecture(),
        num_steps=100_000,
        batch_size=32,
        kl_weight=1e-3,
        loop=LoopSettings(
            optimizer=OptimizerSettings(rate=3e-4, beta2=0.99, muon_rate=0.0),
            warmup_steps=500,
            ema_decay=0.999,
            checkpoint_every=2000,
            log_every=100,
            precision="auto",
        ),
    )


def stable_diffusion(settings: AutoencoderSettings) -> AutoencoderSettings:
    """The same for `gamengen` as published: Stable Diffusion's autoencoder, whose weights may be imported."""
    return settings.model_copy(update={"architecture": SdVaeArchitecture()})


def plain(settings: AutoencoderSettings) -> AutoencoderSettings:
    """The same for `diamond-ae`: trained here, without the KL term's regularisation."""
    if not isinstance(settings.architecture, KlArchitecture):
        # TAESD's shape has no distribution to regularise: what makes it smooth is the price of large latents.
        return settings.model_copy(update={"kl_weight": 0.0})
    network = settings.architecture.settings.model_copy(update={"is_plain": True})
    return settings.model_copy(update={"architecture": KlArchitecture(settings=network)})


def latent_smoke() -> LatentSettings:
    """As everywhere: encoding is cheap."""
    return LatentSettings()


def latent_laptop() -> LatentSettings:
    """As everywhere: encoding is cheap."""
    return LatentSettings()


def latent_paper() -> LatentSettings:
    """As everywhere: encoding is cheap."""
    return LatentSettings()
