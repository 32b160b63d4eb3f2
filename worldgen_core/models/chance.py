"""What a game draws at random between two frames, as a small vector that a network is told.

A squared error answers an uncertain frame with the mean of all that may come: a pipe of every height at once.
So an encoder reads from the true next frame which of them came, a prior learns what may come, and at play
the vector is drawn from the prior. A conditional variational autoencoder (Sohn et al. 2015) with a learned
prior, as in SVG (Denton & Fergus 2018, arXiv:1802.07687); the mixture of Gaussians is this project's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional


class ChanceSettings(BaseModel):
    """Size of the chance of a diffusion model, and where in the picture the game makes use of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=4, ge=1)
    """Dimensions of the vector drawn for each frame."""
    num_mixture: int = Field(default=12, ge=1)
    """Gaussians in the learned prior."""
    columns: int = Field(default=1, ge=1)
    """Columns of places at the right border, where new content enters; training fills it in from the game."""


class Mixture(NamedTuple):
    """A mixture of diagonal Gaussians over the chance vector."""

    log_weight: Float32[Tensor, "b k"]
    mean: Float32[Tensor, "b k z"]
    log_std: Float32[Tensor, "b k z"]

    def log_prob(self, value: Float32[Tensor, "b z"]) -> Float32[Tensor, " b"]:
        """Log density at `value`."""
        deviation = (value[:, None] - self.mean) * torch.exp(-self.log_std)
        parts = -0.5 * deviation.square() - self.log_std - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(self.log_weight + parts.sum(-1), dim=1)

    def sample(self, generators: list[torch.Generator]) -> Float32[Tensor, "b z"]:
        """Draw one value a row, each row from its own generator (on the CPU, so devices agree)."""
        drawn: list[Tensor] = []
        for row, generator in enumerate(generators):
            pick = torch.multinomial(self.log_weight[row].exp().cpu(), 1, generator=generator).to(
                self.mean.device
            )
            noise = torch.randn(self.mean.shape[-1], generator=generator).to(self.mean.device)
            drawn.append(self.mean[row, pick[0]] + noise * self.log_std[row, pick[0]].exp())
        return torch.stack(drawn)


class ChanceEncoder(nn.Module):
    """What the game drew at random between two frames, as the mean and log std of a small Gaussian."""

    def __init__(self, num_channels: int, height: int, *, columns: int, size: int) -> None:
        """Build for pictures of that size, of which `columns` at the right border are seen."""
        super().__init__()
        self.columns = columns
        self.hidden = nn.Linear(2 * num_channels * height * columns, 64)
        self.output = nn.Linear(64, 2 * size)

    def forward(
        self, last: Float32[Tensor, "b c h w"], target: Float32[Tensor, "b c h w"]
    ) -> tuple[Float32[Tensor, "b z"], Float32[Tensor, "b z"]]:
        """Return mean and log std, looking only at the part where new content may enter."""
        part = torch.cat([last[..., -self.columns :], target[..., -self.columns :]], dim=1)
        mean, log_std = self.output(functional.silu(self.hidden(part.flatten(1)))).float().chunk(2, dim=1)
        return mean, (log_std - 2.0).clamp(-5.0, 1.0)


class ChancePrior(nn.Module):
    """What the game may draw next: from the last frame's row and column means, and where new content enters.

    The means alone do not tell the pipe that is half in from the others (measured: 0.24 nats a frame).
    """

    def __init__(
        self, num_channels: int, height: int, width: int, *, columns: int, size: int, num_mixture: int
    ) -> None:
        """Build for pictures of that size; of `columns` at the right border (0: none) every place is seen."""
        super().__init__()
        self.shape = (num_mixture, size)
        self.columns = columns
        self.hidden = nn.Linear(num_channels * (height * (1 + columns) + width), 64)
        self.output = nn.Linear(64, num_mixture * (1 + 2 * size))

    def forward(self, last: Float32[Tensor, "b c h w"]) -> Mixture:
        """Return the mixture from which the chance of the next frame is drawn."""
        return self.mixture(self.seen(last))

    def seen(self, last: Float32[Tensor, "b c h w"]) -> Float32[Tensor, "b f"]:
        """What the prior looks at in the last frame."""
        border = last[..., last.shape[-1] - self.columns :]
        return torch.cat([part.flatten(1) for part in (last.mean(3), last.mean(2), border)], dim=1)

    def mixture(self, seen: Float32[Tensor, "b f"]) -> Mixture:
        """The mixture for what was seen."""
        raw = self.output(functional.silu(self.hidden(seen))).float()
        num, size = self.shape
        log_weight = functional.log_softmax(raw[:, :num], dim=1)
        mean, log_std = raw[:, num:].unflatten(1, (num, 2 * size)).chunk(2, dim=2)
        return Mixture(log_weight, mean, (log_std - 1.0).clamp(-5.0, 2.0))


class ChanceGuide(nn.Module):
    """Encoder and prior over pictures, and the picture through which a U-Net is told the chance."""

    def __init__(self, settings: ChanceSettings, shape: tuple[int, int, int]) -> None:
        """Build for latents, or frames, of `shape` (channels, height, width)."""
        super().__init__()
        channels, height, width = shape
        columns, size = settings.columns, settings.size
        self.encoder = ChanceEncoder(channels, height, columns=columns, size=size)
        self.prior = ChancePrior(
            channels, height, width, columns=columns, size=size, num_mixture=settings.num_mixture
        )
        self.map = nn.Linear(size, channels * height * columns)
        self.map_shape = (channels, height, columns)
        self.num_empty = width - columns

    def guides(self, chance: Float32[Tensor, "b z"]) -> Float32[Tensor, "b 1 c h w"]:
        """Return the picture of a chance: zero but where new content enters."""
        part = self.map(chance).float().unflatten(1, self.map_shape)
        return functional.pad(part, (self.num_empty, 0))[:, None]


def no_guides(past: Float32[Tensor, "b t c h w"]) -> Float32[Tensor, "b 0 c h w"]:
    """Return the guides of a model without chance: none for each row of `past`."""
    return past[:, :0]


def play_guides(
    chance: ChanceGuide | None,
    past: Float32[Tensor, "b t c h w"],
    truth: Float32[Tensor, "b c h w"] | None,
    generators: list[torch.Generator],
) -> Float32[Tensor, "b g c h w"]:
    """Return the guides of the picture that follows `past`: with the chance of `truth`, or drawn."""
    if chance is None:
        return no_guides(past)
    if truth is None:
        return chance.guides(chance.prior(past[:, -1]).sample(generators))
    mean, _ = chance.encoder(past[:, -1], truth)
    return chance.guides(mean)
