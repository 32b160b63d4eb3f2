"""Size of Stable Diffusion's autoencoder; loads without diffusers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SdVaeSettings(BaseModel):
    """Size of diffusers' AutoencoderKL; the defaults are those of Stable Diffusion 1.4."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_latent_channels: int = Field(default=4, ge=1)
    """Channels of a latent."""
    channels: tuple[int, ...] = Field(default=(128, 256, 512, 512), min_length=2)
    """Channels by level; each level but the last halves height and width."""
    num_blocks: int = Field(default=2, ge=1)
    """Residual blocks a level of the encoder; the decoder has one more."""
    num_groups: int = Field(default=32, ge=1)
    """Groups of every normalisation."""

    @model_validator(mode="after")
    def _channels_fit_groups(self) -> SdVaeSettings:
        wrong = [width for width in self.channels if width % self.num_groups]
        if wrong:
            raise ValueError(f"channels {wrong}: no multiples of {self.num_groups} groups")
        return self
