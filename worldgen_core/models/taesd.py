"""TAESD's network: f8, four channels, blocks of three convolutions and ReLU; deterministic.

Same network and same names of weights as `diffusers.AutoencoderTiny`, so that folders in that layout load as
they are (Ollin Boer Bohan, github.com/madebyollin/taesd, MIT). Owns the network and the reading of such a
folder; holds no weights. Only safetensors are read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.errors import CheckpointError
from worldgen_core.models.autoencoder import LatentDraw
from worldgen_core.models.recompute import Recomputable

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
NUM_HALVINGS = 3
BLOCKS_A_LEVEL = 3


class TaesdSettings(BaseModel):
    """Size of the network; the defaults are the published ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_latent_channels: int = Field(default=4, ge=1)
    """Channels of a latent."""
    width: int = Field(default=64, ge=1)
    """Channels of every hidden layer."""


class Taesd(nn.Module):
    """Encoder and decoder between frames in [-1, 1] and latents of an eighth of their height and width."""

    def __init__(self, settings: TaesdSettings) -> None:
        super().__init__()
        self.settings = settings
        self.factor = 2**NUM_HALVINGS
        self.num_latent_channels = settings.num_latent_channels
        self.encoder = LayerList(_encoder_layers(settings))
        self.decoder = LayerList(_decoder_layers(settings))

    def encode(self, obs: Float32[Tensor, "b 3 h w"]) -> Float32[Tensor, "b c h_z w_z"]:
        """Return the latent of each frame; the network was trained on [0, 1]."""
        return self.encoder((obs + 1) / 2).float()

    def draw(self, obs: Float32[Tensor, "b 3 h w"], generator: torch.Generator) -> LatentDraw:  # noqa: ARG002
        """Return the latent itself, without noise; its cost is the KL of a unit normal around it."""
        z = self.encode(obs)
        return LatentDraw(z, 0.5 * (z**2).mean())

    def decode(self, z: Float32[Tensor, "b c h_z w_z"]) -> Float32[Tensor, "b 3 h w"]:
        """Return the frames of latents, which are first bent softly into [-3, 3]."""
        return self.decoder(torch.tanh(z / 3) * 3).float() * 2 - 1


class LayerList(nn.Module):
    """Layers in a row under the name `layers`, which is what the published files call them."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "b c_in h_in w_in"]) -> Float[Tensor, "b c_out h_out w_out"]:
        """Return the last layer's output."""
        return self.layers(x)


class TinyBlock(Recomputable):
    """Three convolutions, a skip, and ReLU over the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return features of the same shape."""
        return functional.relu(self.conv(x) + x)


def _encoder_layers(settings: TaesdSettings) -> list[nn.Module]:
    width = settings.width
    layers: list[nn.Module] = [_conv(3, width), TinyBlock(width)]
    for _ in range(NUM_HALVINGS):
        layers.append(nn.Conv2d(width, width, 3, padding=1, stride=2, bias=False))
        layers += [TinyBlock(width) for _ in range(BLOCKS_A_LEVEL)]
    return [*layers, _conv(width, settings.num_latent_channels)]


def _decoder_layers(settings: TaesdSettings) -> list[nn.Module]:
    width = settings.width
    layers: list[nn.Module] = [_conv(settings.num_latent_channels, width), nn.ReLU()]
    for _ in range(NUM_HALVINGS):
        layers += [TinyBlock(width) for _ in range(BLOCKS_A_LEVEL)]
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1, bias=False)]
    return [*layers, TinyBlock(width), _conv(width, 3)]


def _conv(width_in: int, width_out: int) -> nn.Conv2d:
    return nn.Conv2d(width_in, width_out, 3, padding=1)


def load_taesd(folder: Path) -> Taesd:
    """Return the network of a folder in the layout of diffusers' AutoencoderTiny, as float32.

    Raises: CheckpointError if a file is missing or damaged, or if the folder holds another network.
    """
    settings = _read_settings(folder / CONFIG_FILE)
    path = folder / WEIGHTS_FILE
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unusable(path, "the weights as safetensors", f"{type(error).__name__}: {error}") from error
    network = Taesd(settings)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        names = sorted(
            name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
        )
        first = names[0]
        raise _unusable(
            path,
            f"{first} {expected.get(first, 'absent')}",
            f"{found.get(first, 'none')}; {len(names)} differ",
        )
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network


def _read_settings(path: Path) -> TaesdSettings:
    """Read `config.json` and refuse any network that this module does not build."""
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        widths = {*config["encoder_block_out_channels"], *config["decoder_block_out_channels"]}
        settings = TaesdSettings(num_latent_channels=config["latent_channels"], width=max(widths))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(
            path, "the configuration of an AutoencoderTiny", f"{type(error).__name__}: {error}"
        ) from error
    expected = {
        "num_encoder_blocks": [1, BLOCKS_A_LEVEL, BLOCKS_A_LEVEL, BLOCKS_A_LEVEL],
        "num_decoder_blocks": [BLOCKS_A_LEVEL, BLOCKS_A_LEVEL, BLOCKS_A_LEVEL, 1],
        "encoder_block_out_channels": [settings.width] * (NUM_HALVINGS + 1),
        "decoder_block_out_channels": [settings.width] * (NUM_HALVINGS + 1),
        "act_fn": "relu",
    }
    for name, value in expected.items():
        if config.get(name) != value:
            raise _unusable(path, f"{name} {value}", str(config.get(name)))
    return settings


def _unusable(path: Path, expected: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: TAESD weights",
        expected=expected,
        found=found,
        next_step=f"name a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, as "
        "`AutoencoderTiny.save_pretrained` writes it",
    )
