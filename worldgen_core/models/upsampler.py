"""The second stage of `diamond`: from a low-resolution frame to a full one, by diffusion.

Owns what low resolution means (box filter down, bicubic up), the upsampler's folder and its reading. The
upsampler's folder is a model folder (model.json, upsampler.safetensors); a `diamond` model folder holds the
same weights file, so it can stand in for it.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.errors import ConfigError
from worldgen_core.models.card import ModelCard, fill, read_card, read_weights, settings_of
from worldgen_core.models.pixel_denoiser import NoiseOfShape, PixelDenoiser, PixelStageSettings, draw_frame

UPSAMPLER_WEIGHTS_FILE = "upsampler.safetensors"
UPSAMPLER = "upsampler"


class UpsamplerCardSettings(BaseModel):
    """What a card says of an upsampler."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: PixelStageSettings
    """The network, and how a full frame is drawn."""
    factor: int = Field(ge=1)
    """Full height and width over low ones, rounded to whole pixels."""


class DiamondCardSettings(BaseModel):
    """What the card of a `diamond` or `diamond-small` says of its two stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: PixelStageSettings
    """The low-resolution denoiser, and how a small frame is drawn."""
    upsampler: UpsamplerCardSettings
    """What makes the full frame of it."""


class Upsampler(nn.Module):
    """Draws the full frame of a low-resolution one and the full frame before."""

    def __init__(self, settings: UpsamplerCardSettings, *, height: int, width: int) -> None:
        """Build for full frames of one size."""
        super().__init__()
        self.settings = settings
        self.full_size = (height, width)
        self.low_size = low_size(height, width, settings.factor)
        self.denoiser = PixelDenoiser(settings.stage.denoiser, num_actions=None)

    def with_steps(self, num_steps: int | None) -> Upsampler:
        """The same network, drawing in another number of steps; None keeps it."""
        other = copy.copy(self)
        stage = self.settings.stage.with_steps(num_steps)
        other.settings = self.settings.model_copy(update={"stage": stage})
        return other

    def draw(
        self,
        prev_obs: Float32[Tensor, "b t c h w"],
        low: Float32[Tensor, "b c h_low w_low"],
        noise: NoiseOfShape,
    ) -> Float32[Tensor, "b c h w"]:
        """Return the full frame that follows `prev_obs` and looks like `low` from afar."""
        seen = torch.cat([prev_obs, enlarged(low, self.full_size)[:, None]], dim=1)
        return draw_frame(self.denoiser, seen, None, self.settings.stage, noise)


def low_size(height: int, width: int, factor: int) -> tuple[int, int]:
    """Height and width of a low-resolution frame."""
    return max(1, round(height / factor)), max(1, round(width / factor))


def shrunk(obs: Float32[Tensor, "b c h w"], size: tuple[int, int]) -> Float32[Tensor, "b c h_low w_low"]:
    """Return the frames at low resolution, each pixel the mean of the pixels it covers."""
    return functional.interpolate(obs, size=size, mode="area")


def enlarged(low: Float32[Tensor, "b c h_low w_low"], size: tuple[int, int]) -> Float32[Tensor, "b c h w"]:
    """Return the frames at full size, bicubic; may leave [-1, 1] a little at hard edges."""
    return functional.interpolate(low, size=size, mode="bicubic")


def load_upsampler(folder: Path) -> Upsampler:
    """Read the upsampler of its own folder or of a `diamond` model's.

    Raises: CheckpointError if a file is damaged or does not fit; ConfigError if the folder holds no
    upsampler.
    """
    card = read_card(folder)
    if UPSAMPLER_WEIGHTS_FILE not in card.weights_sha256:
        raise ConfigError(
            f"{folder}: upsampler",
            expected="the folder of an upsampler, or of a model that has one",
            found=f"a {card.model} model",
            next_step="train one: `worldgen build GAME --model diamond`",
        )
    return build_upsampler(card, folder)


def build_upsampler(card: ModelCard, folder: Path) -> Upsampler:
    """Read the upsampler that a card describes; see `load_upsampler`."""
    if card.model == UPSAMPLER:
        settings = settings_of(card, UpsamplerCardSettings)
    else:
        settings = settings_of(card, DiamondCardSettings).upsampler
    upsampler = Upsampler(settings, height=card.height, width=card.width)
    weights = read_weights(folder, card, file_name=UPSAMPLER_WEIGHTS_FILE)
    fill(upsampler.denoiser, weights, source=str(folder))
    return upsampler
