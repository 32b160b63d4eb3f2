"""A trained autoencoder together with the statistics that bring its latents to zero mean and unit variance.

Owns the card and the files of an autoencoder. Latents are not pixels: their spread differs by network, game
and channel, so it is measured, kept in the card and divided out; nothing is clamped. Everything above this
module sees normalised latents only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from storage.atomic import write_json
from worldgen_core.errors import CheckpointError
from worldgen_core.models.autoencoder import FrameAutoencoder, KlAutoencoder, KlAutoencoderSettings
from worldgen_core.models.card import fill, write_weights
from worldgen_core.models.sd_vae_settings import SdVaeSettings
from worldgen_core.models.taesd import Taesd, TaesdSettings
from worldgen_core.models.weights import read_safetensors

AUTOENCODER_CARD_FILE = "autoencoder.json"
AUTOENCODER_WEIGHTS_FILE = "autoencoder.safetensors"
FORMAT_VERSION = 1
NEXT_STEP = "train the autoencoder again with `worldgen build GAME --force train_autoencoder`"


class KlArchitecture(BaseModel):
    """The small autoencoder that is trained from nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["kl"] = "kl"
    """Which network."""
    settings: KlAutoencoderSettings = KlAutoencoderSettings()
    """Its size."""


class TaesdArchitecture(BaseModel):
    """TAESD's network, whose published weights can be loaded from a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["taesd"] = "taesd"
    """Which network."""
    settings: TaesdSettings = TaesdSettings()
    """Its size."""


class SdVaeArchitecture(BaseModel):
    """Stable Diffusion's autoencoder, from diffusers; published weights can be loaded from a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["sd"] = "sd"
    """Which network."""
    settings: SdVaeSettings = SdVaeSettings()
    """Its size."""


Architecture = Annotated[KlArchitecture | TaesdArchitecture | SdVaeArchitecture, Field(discriminator="name")]


class LatentStatistics(BaseModel):
    """Mean and standard deviation of each latent channel, measured over training frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    """Subtracted, one a channel."""
    std: tuple[float, ...]
    """Divided by, one a channel; above zero."""


class AutoencoderCard(BaseModel):
    """What `autoencoder.json` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    """Of this file."""
    architecture: Architecture
    """Which network, and its size."""
    game: str
    """Whose frames it was trained on."""
    height: int
    """Of a frame, in pixels."""
    width: int
    """Of a frame, in pixels."""
    statistics: LatentStatistics
    """Of the raw latents."""
    num_parameters: dict[str, int]
    """By part."""
    psnr_db: float
    """Of the round trip of validation frames."""


class LatentSpace(nn.Module):
    """Frames to normalised latents and back."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: AutoencoderCard) -> None:
        super().__init__()
        assert isinstance(network, FrameAutoencoder)
        self.card = card
        self.network = network
        self.factor = network.factor
        self.num_channels = network.num_latent_channels
        self.register_buffer("mean", torch.tensor(card.statistics.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(card.statistics.std)[:, None, None], persistent=False)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        return self.num_channels, self.card.height // self.factor, self.card.width // self.factor

    def encode(self, obs: Float32[Tensor, "b 3 h w"]) -> Float32[Tensor, "b c h_z w_z"]:
        """Return the normalised latents of frames in [-1, 1]."""
        return (self.network.encode(obs) - self.mean) / self.std

    def decode(self, z: Float32[Tensor, "b c h_z w_z"]) -> Float32[Tensor, "b 3 h w"]:
        """Return the frames of normalised latents, clamped to [-1, 1]."""
        return self.network.decode(z * self.std + self.mean).clamp(-1, 1)


def build_autoencoder(
    architecture: KlArchitecture | TaesdArchitecture | SdVaeArchitecture, *, height: int, width: int
) -> nn.Module:
    """Return the untrained network, a `FrameAutoencoder`, for frames of one size."""
    if isinstance(architecture, SdVaeArchitecture):
        # Imported here: diffusers takes seconds to load, and other autoencoders do without.
        from worldgen_core.models.sd_vae import SdVae

        return SdVae(architecture.settings)
    if isinstance(architecture, TaesdArchitecture):
        return Taesd(architecture.settings)
    return KlAutoencoder(architecture.settings, height=height, width=width)


def save_latent_space(space: LatentSpace, folder: Path) -> str:
    """Write the weights, then the card; return the digest of the weights' file."""
    digest = write_weights(folder, space.network.state_dict(), file_name=AUTOENCODER_WEIGHTS_FILE)
    write_json(folder / AUTOENCODER_CARD_FILE, space.card.model_dump(mode="json"))
    return digest


def load_latent_space(folder: Path, device: torch.device | str = "cpu") -> LatentSpace:
    """Read an autoencoder's folder.

    Raises: CheckpointError if a file is missing or damaged, or if card and weights disagree.
    """
    path = folder / AUTOENCODER_CARD_FILE
    try:
        card = AutoencoderCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(
            f"{path}: autoencoder's card",
            expected=f"the JSON of format {FORMAT_VERSION}",
            found=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            next_step=NEXT_STEP,
        ) from error
    weights, _ = read_safetensors(folder / AUTOENCODER_WEIGHTS_FILE, next_step=NEXT_STEP)
    return build_latent_space(card, weights, source=str(folder)).to(device)


def build_latent_space(card: AutoencoderCard, weights: Mapping[str, Tensor], *, source: str) -> LatentSpace:
    """Build what `card` describes and fill it with `weights`; `source` names their file in an error.

    Raises: CheckpointError if the weights belong to another network.
    """
    network = build_autoencoder(card.architecture, height=card.height, width=card.width)
    fill(network, weights, source=source)
    return LatentSpace(network.requires_grad_(False), card).eval()
