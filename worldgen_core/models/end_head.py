"""The head that diffusion models tell the end of a life with."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor, nn

# Places vote by log-sum-exp; taking this off makes a fresh head say "rarely".
RARE_END_LOGIT = 6.0


class EndHead(nn.Module):
    """A small convolutional net over the last two latents; one vote a place, joined by log-sum-exp."""

    def __init__(self, num_channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2 * num_channels, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, x: Float32[Tensor, "b c h w"]) -> Float32[Tensor, " b"]:
        """Return one logit a row."""
        votes = rearrange(self.layers(x), "b 1 h w -> b (h w)").float()
        return torch.logsumexp(votes, dim=1) - RARE_END_LOGIT
