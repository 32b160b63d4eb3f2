"""The head that tells what a frame pays, for every model whose dataset has rewards.

It sees pictures as a player does, so one head serves every architecture, and it is trained apart: a world
model's weights are the same with and without it. It is a classifier over the rewards of the dataset and
answers with their expectation: rare rewards of very different sizes (a pipe passed, a death) do not pull at
each other as they would under a squared error (Hafner et al. 2023, arXiv:2301.04104, there over fixed bins).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.models.card import ModelCard, fill, parse_settings, read_weights
from worldgen_core.models.reward_head_settings import RewardHeadSettings
from worldgen_core.ranges import to_unit

REWARD_WEIGHTS_FILE = "reward.safetensors"
NUM_SEEN = 2
"""Frames that it sees: the one that pays, and the one before it."""


class RewardHead(nn.Module):
    """Patches with a learned place, two convolutions, and what is strongest and usual in the picture."""

    values: Tensor
    """(k) the rewards between which it chooses, ascending."""

    def __init__(self, settings: RewardHeadSettings, *, num_actions: int, height: int, width: int) -> None:
        """Build for frames of `height` x `width` pixels."""
        super().__init__()
        self.settings, self.num_actions = settings, num_actions
        channels, patch = settings.width, settings.patch
        self.padding = (0, -width % patch, 0, -height % patch)
        grid = (math.ceil(height / patch), math.ceil(width / patch))
        self.patches = nn.Conv2d(3 * NUM_SEEN, channels, patch, stride=patch)
        self.place = nn.Parameter(0.1 * torch.randn(channels, *grid))
        self.shrink = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.hidden = nn.Linear(4 * channels + num_actions, 2 * channels)
        self.output = nn.Linear(2 * channels, settings.num_values)
        self.register_buffer("values", torch.zeros(settings.num_values))

    def forward(
        self, seen: Float32[Tensor, "b seen c h w"], act: Int64[Tensor, " b"]
    ) -> Float32[Tensor, "b k"]:
        """Return the logits of what `act` was paid for leading to the last of `seen`, in [-1, 1]."""
        pictures = rearrange(seen, "b t c h w -> b (t c) h w")
        cells = functional.silu(self.patches(functional.pad(pictures, self.padding)) + self.place)
        cells = functional.silu(self.conv(functional.silu(self.shrink(cells))))
        overall = torch.cat([cells.mean(dim=(2, 3)), cells.amax(dim=(2, 3))], dim=1)
        hot = functional.one_hot(act, self.num_actions).to(overall.dtype)
        return self.output(functional.silu(self.hidden(torch.cat([overall, hot], dim=1)))).float()

    def reward(
        self, seen: Float32[Tensor, "b seen c h w"], act: Int64[Tensor, " b"]
    ) -> Float32[Tensor, " b"]:
        """Return the expected reward, in the dataset's units."""
        return functional.softmax(self(seen, act), dim=1) @ self.values


def last_seen(frames: UInt8[Tensor, "b t h w c"]) -> Float32[Tensor, "b seen c h w"]:
    """The last `NUM_SEEN` frames as the head sees them, in [-1, 1]; the first again where there are fewer."""
    obs = rearrange(to_unit(frames[:, -NUM_SEEN:]), "b t h w c -> b t c h w")
    return torch.cat([obs[:, :1].expand(-1, NUM_SEEN - obs.shape[1], -1, -1, -1), obs], dim=1)


def load_reward_head(folder: Path, card: ModelCard) -> RewardHead | None:
    """The reward head of a model folder; None for a model that tells no rewards.

    Raises: CheckpointError if it is damaged.
    """
    if card.reward_head is None:
        return None
    settings = parse_settings(
        card.reward_head, RewardHeadSettings, field="reward_head", owner="a reward head"
    )
    head = RewardHead(settings, num_actions=len(card.action_names), height=card.height, width=card.width)
    source = folder / REWARD_WEIGHTS_FILE
    fill(head, read_weights(folder, card, file_name=REWARD_WEIGHTS_FILE), source=str(source))
    return head.eval()
