"""Stable Diffusion's autoencoder, diffusers' AutoencoderKL (Rombach et al. 2022, arXiv:2112.10752).

Owns how it is told as encoder and decoder, and the reading of a folder that `AutoencoderKL.save_pretrained`
wrote; holds no weights and fetches none. Only safetensors are read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from worldgen_core.diffusion.losses import kl_to_standard_normal
from worldgen_core.errors import CheckpointError
from worldgen_core.models.autoencoder import LatentDraw
from worldgen_core.models.card import fill
from worldgen_core.models.weights import read_safetensors
from worldgen_core.rows import normal

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
NEXT_STEP = (
    f"name a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, as `AutoencoderKL.save_pretrained` writes it"
)

PARTS = {
    "encoder": "encoder.0",
    "quant_conv": "encoder.1",
    "post_quant_conv": "decoder.0",
    "decoder": "decoder.1",
}
"""diffusers' parts → ours."""

OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names in files of before 2023, Stable Diffusion 1.4's among them → today's."""


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


class SdVae(nn.Module):
    """Encodes a frame as a normal distribution over latents, and decodes a draw."""

    def __init__(self, settings: SdVaeSettings) -> None:
        super().__init__()
        # Not above: diffusers takes seconds to load, and other autoencoders do without.
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        levels = len(settings.channels)
        parts = AutoencoderKL(
            latent_channels=settings.num_latent_channels,
            block_out_channels=settings.channels,  # pyright: ignore[reportArgumentType]  # any number of levels
            down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]  # as above
            up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]  # as above
            layers_per_block=settings.num_blocks,
            norm_num_groups=settings.num_groups,
        )
        assert parts.quant_conv is not None
        assert parts.post_quant_conv is not None
        self.settings = settings
        self.factor = 2 ** (levels - 1)
        self.num_latent_channels = settings.num_latent_channels
        self.encoder = nn.Sequential(parts.encoder, parts.quant_conv)
        self.decoder = nn.Sequential(parts.post_quant_conv, parts.decoder)

    def encode(self, obs: Float32[Tensor, "b 3 h w"]) -> Float32[Tensor, "b c h_z w_z"]:
        """Return the mean of each frame's distribution."""
        return self.encoder(obs).float().chunk(2, dim=1)[0]

    def draw(self, obs: Float32[Tensor, "b 3 h w"], generator: torch.Generator) -> LatentDraw:
        """Return a draw from each frame's distribution, with noise from the CPU on every device."""
        mean, log_variance = self.encoder(obs).float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-30.0, 20.0)  # Stable Diffusion's bounds
        noise = normal(mean.shape, generator).to(mean.device)
        return LatentDraw(mean + (log_variance / 2).exp() * noise, kl_to_standard_normal(mean, log_variance))

    def decode(self, z: Float32[Tensor, "b c h_z w_z"]) -> Float32[Tensor, "b 3 h w"]:
        """Return the frames of latents; not clamped."""
        return self.decoder(z).float()


def load_sd_vae(folder: Path) -> SdVae:
    """Return the network of a folder in the layout of diffusers' AutoencoderKL, as float32.

    Raises: CheckpointError if a file is missing or damaged, or if the folder holds another network.
    """
    network = SdVae(_read_settings(folder / CONFIG_FILE))
    weights, _ = read_safetensors(folder / WEIGHTS_FILE, next_step=NEXT_STEP)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    tensors: dict[str, Tensor] = {}
    for name, value in weights.items():
        ours = _renamed(name)
        # Old files hold attention as 1x1 convolutions.
        is_flat = value.ndim == 4 and value.shape[2:] == (1, 1) and len(wanted.get(ours, ())) == 2
        tensors[ours] = (value[:, :, 0, 0] if is_flat else value).float()
    fill(network, tensors, source=str(folder / WEIGHTS_FILE))
    return network


def _renamed(name: str) -> str:
    part, _, rest = name.partition(".")
    words = [OLD_ATTENTION.get(word, word) for word in rest.split(".")] if ".attentions." in name else [rest]
    return ".".join([PARTS.get(part, part), *words])


def _read_settings(path: Path) -> SdVaeSettings:
    """Read `config.json` and refuse any network that this module does not build."""
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        settings = SdVaeSettings(
            num_latent_channels=config["latent_channels"],
            channels=config["block_out_channels"],
            num_blocks=config["layers_per_block"],
            num_groups=config["norm_num_groups"],
        )
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise _unusable(
            path, "the configuration of an AutoencoderKL", f"{type(error).__name__}: {error}"
        ) from error
    levels = len(settings.channels)
    expected = {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "act_fn": "silu",
    }
    for name, value in expected.items():
        if config.get(name) != value:
            raise _unusable(path, f"{name} {value}", str(config.get(name)))
    return settings


def _unusable(path: Path, expected: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: AutoencoderKL weights", expected=expected, found=found, next_step=NEXT_STEP
    )
