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
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.models.autoencoder import FrameAutoencoder, KlAutoencoder, KlAutoencoderSettings
from worldgen_core.models.card import count_parameters, fill, write_weights
from worldgen_core.models.light_decoder import FINE, LightDecoder, LightDecoderSettings
from worldgen_core.models.sd_vae import SdVae, SdVaeSettings
from worldgen_core.models.taesd import Taesd, TaesdSettings
from worldgen_core.models.weights import read_safetensors

AUTOENCODER_CARD_FILE = "autoencoder.json"
AUTOENCODER_WEIGHTS_FILE = "autoencoder.safetensors"
LIGHT = "light_decoder"
"""A light decoder's name among the parts of an autoencoder."""
LIGHT_PREFIX = f"{LIGHT}."
"""Of the names of its weights, which lie beside the autoencoder's own in the one file."""
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


class LightDecoderCard(BaseModel):
    """What the card says of a light decoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: LightDecoderSettings
    """Its size."""
    psnr_db: float
    """Of validation frames encoded and then shown by it; the card's own `psnr_db` is the full decoder's."""


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
    light_decoder: LightDecoderCard | None = None
    """What shows latents instead of the autoencoder's own decoder; None: that one does."""


class LatentSpace(nn.Module):
    """Frames to normalised latents and back.

    A light decoder, where there is one, decodes. The autoencoder's own stays beside it: a later training of
    the model may go on from this folder, and a later light decoder may learn from it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: AutoencoderCard, light: LightDecoder | None = None) -> None:
        super().__init__()
        assert isinstance(network, FrameAutoencoder)
        assert (card.light_decoder is None) == (light is None)
        self.card = card
        self.network = network
        self.light_decoder = light
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
        decoder = self.network if self.light_decoder is None else self.light_decoder
        return decoder.decode(z * self.std + self.mean).clamp(-1, 1)

    def with_light_decoder(self, light: LightDecoder, psnr_db: float) -> LatentSpace:
        """The same latents, shown by `light`, which reaches this PSNR on validation frames."""
        own = self.without_light_decoder().card
        count, counts = count_parameters(light)["total"], own.num_parameters
        card = own.model_copy(
            update={
                "light_decoder": LightDecoderCard(settings=light.settings, psnr_db=psnr_db),
                "num_parameters": {**counts, LIGHT: count, "total": counts["total"] + count},
            }
        )
        return LatentSpace(self.network, card, light.requires_grad_(False)).eval()

    def without_light_decoder(self) -> LatentSpace:
        """The same latents, shown by the autoencoder's own decoder."""
        counts = {name: num for name, num in self.card.num_parameters.items() if name not in (LIGHT, "total")}
        total = self.card.num_parameters["total"] - self.card.num_parameters.get(LIGHT, 0)
        changes = {"light_decoder": None, "num_parameters": {**counts, "total": total}}
        return LatentSpace(self.network, self.card.model_copy(update=changes)).eval()


def build_autoencoder(
    architecture: KlArchitecture | TaesdArchitecture | SdVaeArchitecture, *, height: int, width: int
) -> KlAutoencoder | Taesd | SdVae:
    """Return the untrained network for frames of one size."""
    if isinstance(architecture, SdVaeArchitecture):
        return SdVae(architecture.settings)
    if isinstance(architecture, TaesdArchitecture):
        return Taesd(architecture.settings)
    return KlAutoencoder(architecture.settings, height=height, width=width)


def build_light_decoder(
    settings: LightDecoderSettings, network: FrameAutoencoder, card: AutoencoderCard
) -> LightDecoder:
    """Return an untrained light decoder for the latents of an autoencoder.

    Raises: ConfigError if its grid cannot be refined to pixels.
    """
    if network.factor % FINE:
        raise ConfigError(
            "light decoder: the autoencoder's factor",
            expected=f"a multiple of {FINE}",
            found=str(network.factor),
            next_step="leave distil_decoder off, or train an autoencoder of another factor",
        )
    return LightDecoder(
        settings,
        num_latent_channels=network.num_latent_channels,
        factor=network.factor,
        height=card.height,
        width=card.width,
    )


def save_latent_space(space: LatentSpace, folder: Path) -> str:
    """Write the weights, then the card; return the digest of the weights' file."""
    light = {} if space.light_decoder is None else space.light_decoder.state_dict()
    weights = {**space.network.state_dict(), **{LIGHT_PREFIX + name: value for name, value in light.items()}}
    digest = write_weights(folder, weights, file_name=AUTOENCODER_WEIGHTS_FILE)
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
    if card.light_decoder is None:
        fill(network, weights, source=source)
        return LatentSpace(network.requires_grad_(False), card).eval()
    parts: tuple[dict[str, Tensor], dict[str, Tensor]] = {}, {}
    for name, value in weights.items():
        parts[name.startswith(LIGHT_PREFIX)][name.removeprefix(LIGHT_PREFIX)] = value
    light = build_light_decoder(card.light_decoder.settings, network, card)
    fill(network, parts[False], source=source)
    fill(light, parts[True], source=f"{source}: light decoder")
    return LatentSpace(network.requires_grad_(False), card, light.requires_grad_(False)).eval()
