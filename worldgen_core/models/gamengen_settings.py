"""Settings of GameNGen's network and of how it draws a frame; they load without diffusers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worldgen_core.diffusion.ddim_settings import DdimSettings, NoiseScheduleSettings
from worldgen_core.models.chance import ChanceSettings


class GamengenUnetSettings(BaseModel):
    """Size of diffusers' UNet2DConditionModel; the defaults are those of Stable Diffusion 1.4."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[int, ...] = Field(default=(320, 640, 1280, 1280), min_length=2)
    """Channels by level; each level has half the height and width of the one before."""
    attention: tuple[bool, ...] = (True, True, True, False)
    """Which levels attend: places to each other, and to the actions. The middle always does."""
    num_blocks: int = Field(default=2, ge=1)
    """Residual blocks a level on the way down; one more on the way up."""
    token_size: int = Field(default=768, ge=1)
    """Values of an action's token."""
    num_heads: int = Field(default=8, ge=1)
    """Heads of every attention."""
    num_groups: int = Field(default=32, ge=1)
    """Groups of every normalisation."""

    @model_validator(mode="after")
    def _levels_agree(self) -> GamengenUnetSettings:
        if len(self.attention) != len(self.channels):
            raise ValueError(f"{len(self.channels)} levels of channels, {len(self.attention)} of attention")
        wrong = [width for width in self.channels if width % self.num_groups or width % self.num_heads]
        if wrong:
            raise ValueError(
                f"channels {wrong}: no multiples of {self.num_groups} groups and of {self.num_heads} heads"
            )
        return self


class GamengenNetworkSettings(BaseModel):
    """The network and what it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unet: GamengenUnetSettings = GamengenUnetSettings()
    """Size of the U-Net."""
    schedule: NoiseScheduleSettings = NoiseScheduleSettings()
    """Levels of noise."""
    num_context_frames: int = Field(default=64, ge=1)
    """Past frames, and actions, that condition one prediction."""
    max_context_noise: float = Field(default=0.7, ge=0)
    """Largest deviation of the noise on the context in training, against drift; 0 means off."""
    num_noise_buckets: int = Field(default=10, ge=1)
    """Equal parts of the range of that noise, each with a learned embedding that tells the network."""
    num_place_channels: int = Field(default=0, ge=0)
    """Learned maps of places, beside the latents; a small network needs them where the autoencoder takes the
    background off."""
    end_width: int = Field(default=32, ge=1)
    """Channels of the head that tells when a life ends."""
    chance: ChanceSettings | None = None
    """What the game draws at random, as an input of its own; needed where frames are drawn in one step, which
    cannot choose. None: all chance is in the sampler's noise, as published."""


class GamengenCardSettings(BaseModel):
    """What the card of a `gamengen` says of its network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: GamengenNetworkSettings
    """Size and constants of the network."""
    sampler: DdimSettings
    """How a latent is drawn at play."""
