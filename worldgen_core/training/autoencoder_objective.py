"""What an autoencoder minimises: absolute error of the round trip, most where something moves, and a KL.

Absolute and not squared error: pixel art has few colours and hard edges, which squares blur.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from worldgen_core.models.autoencoder import FrameAutoencoder
from worldgen_core.ranges import to_unit
from worldgen_core.rows import row_share, split_rows


class AutoencoderWeights(NamedTuple):
    """Weights of the parts of the loss; see `AutoencoderSettings`."""

    kl: float
    foreground: float
    foreground_level: float


class AutoencoderObjective:
    """The loss of an autoencoder; `frames` gives the batch of a training step."""

    def __init__(
        self,
        network: nn.Module,
        median: Float32[Tensor, "3 h w"],
        weights: AutoencoderWeights,
        frames: Callable[[int], Tensor],
    ) -> None:
        assert isinstance(network, FrameAutoencoder)
        self.module: nn.Module = network
        self.matrices = inner_convolutions(network)
        self._network: FrameAutoencoder = network
        self._median = median
        self._weights = weights
        self._frames = frames

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Encode, draw, decode and compare this step's batch."""
        frames = self._frames(train_step)
        obs = to_channels(frames[split_rows(len(frames), generator)], self._median.device)
        drawn = self._network.draw(obs, generator)
        error = (self._network.decode(drawn.z) - obs).abs()
        difference = (obs - self._median).abs().amax(dim=1, keepdim=True)
        is_foreground = difference > self._weights.foreground_level
        picture = (error * (1 + self._weights.foreground * is_foreground)).mean()
        share = row_share(generator)
        return {
            "loss": share * (picture + self._weights.kl * drawn.kl),
            "picture": share * picture.detach(),
            "kl": share * drawn.kl.detach(),
        }


def to_channels(frames: UInt8[Tensor, "b h w c"], device: torch.device) -> Float32[Tensor, "b c h w"]:
    """Return frames as models take them: channels first, in [-1, 1]; channels-last in memory."""
    return to_unit(frames.to(device)).permute(0, 3, 1, 2)


def inner_convolutions(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the trainable convolutions that keep the number of channels, for Muon."""
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    square = [conv.weight for conv in convolutions if conv.in_channels == conv.out_channels]
    return [weight for weight in square if weight.requires_grad]  # pyright: ignore[reportReturnType]  # stub
