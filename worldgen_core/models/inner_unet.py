"""The conditional U-Net inside the diffusion denoiser, after DIAMOND (Alonso et al. 2024, arXiv:2405.12399).

Owns the network from (noisy sample, context, actions, noise levels) to a raw output; preconditioning,
sampling and latents live elsewhere. Written afresh; with the published sizes it has exactly the published
number of parameters.
Departures: self-attention adds to its input and not to its normalised input (`attention_adds_to` has both),
and GroupNorm can be switched off, for small networks on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Float32, Int64
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.models.recompute import Recomputable

CHANNELS_PER_GROUP = 32
CHANNELS_PER_HEAD = 8
NORM_EPS = 1e-5


class InnerUnetSettings(BaseModel):
    """Size of the U-Net; every tuple has one entry a level, from the finest to the coarsest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[int, ...]
    """Channels of each level; each level after the first halves height and width."""
    depths: tuple[int, ...]
    """Residual blocks of each level on the way down; on the way up each has one more."""
    attention: tuple[bool, ...]
    """Whether each level's blocks end in self-attention, whose cost grows with the square of the places."""
    has_middle_attention: bool = True
    """Whether the two middle blocks, at the coarsest level, end in self-attention."""
    cond_channels: int = Field(ge=4)
    """Width of the conditioning vector made of noise level, context noise level and actions."""
    num_context_frames: int = Field(default=4, ge=1)
    """Past frames, and their actions, that condition one prediction."""
    has_group_norm: bool = True
    """Whether blocks normalise before they are modulated; off is faster on a CPU."""
    attention_adds_to: Literal["input", "normalised input"] = "input"
    """What attention corrects; DIAMOND's code, and so its published weights, take the normalised input."""

    @model_validator(mode="after")
    def _levels_agree(self) -> InnerUnetSettings:
        if not len(self.channels) == len(self.depths) == len(self.attention) > 0:
            raise ValueError("channels, depths and attention need the same number of levels, at least one")
        if self.cond_channels % (2 * self.num_context_frames) != 0:
            raise ValueError("cond_channels must be a multiple of twice num_context_frames")
        return self

    @model_validator(mode="after")
    def _widths_divide(self) -> InnerUnetSettings:
        if min(self.channels) < 1:
            raise ValueError(f"channels {self.channels}: every level needs at least one")
        attended = {width for width, attends in zip(self.channels, self.attention, strict=True) if attends}
        attended |= {self.channels[-1]} if self.has_middle_attention else set()
        wrong = {width for width in attended if width % max(1, width // CHANNELS_PER_HEAD)}
        if wrong:
            raise ValueError(f"channels {sorted(wrong)} attend in heads of {CHANNELS_PER_HEAD}: no multiples")
        normalised = attended | (self._block_widths if self.has_group_norm else set())
        wrong = {width for width in normalised if width % max(1, width // CHANNELS_PER_GROUP)}
        if wrong:
            raise ValueError(
                f"blocks of {sorted(wrong)} channels, skips included, are normalised in groups of"
                f" {CHANNELS_PER_GROUP}: no multiples"
            )
        return self

    @property
    def _block_widths(self) -> set[int]:
        """Channels that come into blocks: of a level, of the one above it, and of both with a skip."""
        pairs = zip((self.channels[0], *self.channels), self.channels, strict=False)
        return {width for above, own in pairs for width in (own, above, 2 * own, above + own)}


class InnerUnet(nn.Module):
    """Predicts the raw network output F of EDM for the next latent (or frame)."""

    def __init__(
        self,
        settings: InnerUnetSettings,
        *,
        num_channels: int,
        num_actions: int | None,
        num_guides: int = 0,
        grid: tuple[int, int] | None = None,
    ) -> None:
        """Build for `num_channels` and `num_actions`; None for the latter: no action conditions the result.

        `num_guides` says how many pictures beside the past frames the network sees. A `grid` (height, width)
        adds a learned map of places, which tells the network where it is; it needs one if nothing in its
        input does. Sizes are then fixed.
        """
        super().__init__()
        first, cond = settings.channels[0], settings.cond_channels
        num_pictures = settings.num_context_frames + num_guides + 1
        self.settings = settings
        self.noise_features = FourierFeatures(cond)
        self.context_noise_features = FourierFeatures(cond)
        width = cond // settings.num_context_frames
        self.action_embedding = None if num_actions is None else nn.Embedding(num_actions, width)
        self.cond_mlp = nn.Sequential(nn.Linear(cond, cond), nn.SiLU(), nn.Linear(cond, cond))
        self.conv_in = conv3x3(num_pictures * num_channels, first)
        self.position = nn.Parameter(0.1 * torch.randn(first, *grid)) if grid else None
        self.unet = Unet(settings)
        self.norm_out = group_norm(first) if settings.has_group_norm else nn.Identity()
        self.conv_out = zero_weight(conv3x3(first, num_channels))

    def forward(
        self,
        x: Float32[Tensor, "b c h w"],
        c_noise: Float32[Tensor, " b"],
        c_noise_context: Float32[Tensor, " b"],
        prev_obs: Float32[Tensor, "b t_and_guides c h w"],
        prev_act: Int64[Tensor, "b t"] | None,
    ) -> Float32[Tensor, "b c h w"]:
        """Return F(x); `x` and `prev_obs` come scaled, and prev_act[:, -1] is what causes the result.

        Guides follow the past frames in `prev_obs`.
        """
        modulations = self.modulations(c_noise, c_noise_context, prev_act)
        return self.body(stacked(prev_obs, x), modulations).float()

    def body(
        self, pictures: Float[Tensor, "b c h w"], modulations: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b c_out h w"]:
        """Return F from stacked pictures and ready modulations."""
        x = self.conv_in(pictures)
        x = self.unet(x if self.position is None else x + self.position, modulations)
        return self.conv_out(functional.silu(self.norm_out(x)))

    def modulations(
        self,
        c_noise: Float32[Tensor, " b"],
        c_noise_context: Float32[Tensor, " b"],
        prev_act: Int64[Tensor, "b t"] | None,
    ) -> Float[Tensor, "b m"]:
        """Return scales and shifts of all blocks in a row, in the order in which they are used.

        With discrete actions and a fixed schedule they are few: see `models/played_unet.py`.
        """
        cond = self.condition(c_noise, c_noise_context, prev_act)
        return torch.cat([modulation.linear(cond) for modulation in self.unet.modulations()], dim=1)

    def condition(
        self,
        c_noise: Float32[Tensor, " b"],
        c_noise_context: Float32[Tensor, " b"],
        prev_act: Int64[Tensor, "b t"] | None,
    ) -> Float[Tensor, "b e"]:
        """Return the vector that modulates every block, in the precision of products."""
        cond = self.noise_features(c_noise) + self.context_noise_features(c_noise_context)
        if self.action_embedding is not None:
            cond = cond + rearrange(self.action_embedding(prev_act), "b t e -> b (t e)")
        return self.cond_mlp(cond)


def stacked(
    prev_obs: Float[Tensor, "b t c h w"], x: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b t_and_one_times_c h w"]:
    """Return context pictures and noisy sample on one channel axis, as the U-Net takes them."""
    return torch.cat([rearrange(prev_obs, "b t c h w -> b (t c) h w"), x], dim=1)


class Unet(nn.Module):
    """Down, middle and up, with a skip from each block on the way down to its twin on the way up."""

    def __init__(self, settings: InnerUnetSettings) -> None:
        super().__init__()
        channels = settings.channels
        self.num_halvings = len(channels) - 1
        down: list[Stack] = []
        up: list[Stack] = []
        for level, depth in enumerate(settings.depths):
            above, own = channels[max(0, level - 1)], channels[level]
            has_attention = settings.attention[level]
            widths = [(above, own)] + [(own, own)] * (depth - 1)
            down.append(Stack(widths, settings, has_attention=has_attention))
            widths = [(2 * own, own)] * depth + [(above + own, above)]
            up.append(Stack(widths, settings, has_attention=has_attention))
        last = channels[-1]
        self.down = nn.ModuleList(down)
        self.middle = Stack([(last, last)] * 2, settings, has_attention=settings.has_middle_attention)
        self.up = nn.ModuleList(reversed(up))
        self.shrink = nn.ModuleList(
            nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1) for width in channels[:-1]
        )
        self.grow = nn.ModuleList(conv3x3(width, width) for width in reversed(channels[:-1]))
        for weight in self.shrink.parameters():
            if weight.ndim > 1:
                nn.init.orthogonal_(weight)

    def modulations(self) -> list[Modulation]:
        """Return every block's two modulations, in the order in which `forward` uses them."""
        return [module for module in self.modules() if isinstance(module, Modulation)]

    def forward(
        self, x: Float[Tensor, "b c h w"], modulations: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b c h w"]:
        """Return features of the input's size; odd sizes are padded for the halvings, then cropped."""
        widths = [modulation.linear.out_features for modulation in self.modulations()]
        parts = modulations.split(widths, dim=1)
        pairs = iter(zip(parts[::2], parts[1::2], strict=True))
        height, width = x.shape[-2:]
        multiple = 2**self.num_halvings
        x = functional.pad(x, (0, -width % multiple, 0, -height % multiple))
        skips: list[list[Tensor]] = []
        for level, stack in enumerate(self.down):
            x = x if level == 0 else self.shrink[level - 1](x)
            outputs = [x, *stack(x, pairs)]
            x = outputs[-1]
            skips.append(outputs)
        x = self.middle(x, pairs)[-1]
        for level, stack in enumerate(self.up):
            if level > 0:
                x = self.grow[level - 1](functional.interpolate(x, scale_factor=2.0, mode="nearest"))
            x = stack(x, pairs, skips.pop()[::-1])[-1]
        return x[..., :height, :width]


class Stack(nn.Module):
    """Residual blocks in a row; each may first take in a skip connection."""

    def __init__(
        self, widths: list[tuple[int, int]], settings: InnerUnetSettings, *, has_attention: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width_in, width_out, settings, has_attention=has_attention)
            for width_in, width_out in widths
        )

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        pairs: Iterator[tuple[Tensor, Tensor]],
        skips: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """Return the output of every block; each takes the next pair of modulations."""
        outputs: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x = x if skips is None else torch.cat([x, skips[index]], dim=1)
            x = block(x, *next(pairs))
            outputs.append(x)
        return outputs


class Block(Recomputable):
    """Two modulated convolutions around a residual, then self-attention where asked for."""

    def __init__(
        self, width_in: int, width_out: int, settings: InnerUnetSettings, *, has_attention: bool
    ) -> None:
        super().__init__()
        cond_channels, has_group_norm = settings.cond_channels, settings.has_group_norm
        adds_to_normalised = settings.attention_adds_to == "normalised input"
        self.project = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)
        self.modulate1 = Modulation(width_in, cond_channels, has_group_norm=has_group_norm)
        self.conv1 = conv3x3(width_in, width_out)
        self.modulate2 = Modulation(width_out, cond_channels, has_group_norm=has_group_norm)
        self.conv2 = zero_weight(conv3x3(width_out, width_out))
        self.attention = (
            SelfAttention(width_out, adds_to_normalised=adds_to_normalised)
            if has_attention
            else nn.Identity()
        )

    def forward(
        self,
        x: Float[Tensor, "b c_in h w"],
        modulation1: Float[Tensor, "b m1"],
        modulation2: Float[Tensor, "b m2"],
    ) -> Float[Tensor, "b c_out h w"]:
        """Return features of the output width."""
        residual = self.project(x)
        x = self.conv1(functional.silu(self.modulate1(x, modulation1)))
        x = self.conv2(functional.silu(self.modulate2(x, modulation2)))
        return self.attention(x + residual)


class Modulation(nn.Module):
    """Scale and shift a channel by what `linear` makes of the condition, after GroupNorm where that is on."""

    def __init__(self, width: int, cond_channels: int, *, has_group_norm: bool) -> None:
        super().__init__()
        self.num_groups = max(1, width // CHANNELS_PER_GROUP)
        self.has_group_norm = has_group_norm
        self.linear = nn.Linear(cond_channels, 2 * width)

    def forward(
        self, x: Float[Tensor, "b c h w"], scale_and_shift: Float[Tensor, "b two_c"]
    ) -> Float[Tensor, "b c h w"]:
        """Return the modulated features; scales and shifts, (b, 2 c), are the result of `linear`."""
        if self.has_group_norm:
            x = functional.group_norm(x, self.num_groups, eps=NORM_EPS)
        scale, shift = scale_and_shift[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class SelfAttention(nn.Module):
    """Multi-head attention between all places of a feature map; starts as the identity."""

    def __init__(self, width: int, *, adds_to_normalised: bool = False) -> None:
        super().__init__()
        self.adds_to_normalised = adds_to_normalised
        self.num_heads = max(1, width // CHANNELS_PER_HEAD)
        self.norm = group_norm(width)
        self.query_key_value = nn.Conv2d(width, 3 * width, 1)
        self.out = zero_weight(nn.Conv2d(width, width, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return `x` plus what each place gathered. Axes: k of q/k/v, n heads, d head width."""
        height, normalised = x.shape[2], self.norm(x)
        heads = rearrange(
            self.query_key_value(normalised), "b (k n d) h w -> k b n (h w) d", k=3, n=self.num_heads
        )
        query, key, value = heads.unbind(0)
        gathered = functional.scaled_dot_product_attention(query, key, value)
        base = normalised if self.adds_to_normalised else x
        return base + self.out(rearrange(gathered, "b n (h w) d -> b (n d) h w", h=height))


class FourierFeatures(nn.Module):
    """Cosines and sines of a scalar at fixed random frequencies, saved with the weights."""

    frequency: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("frequency", torch.randn(num_features // 2))

    def forward(self, value: Float32[Tensor, " b"]) -> Float32[Tensor, "b e"]:
        """Return the features of each value."""
        angle = 2 * math.pi * value[:, None] * self.frequency
        return torch.cat([angle.cos(), angle.sin()], dim=1)


def block_convolutions(network: nn.Module) -> list[nn.Parameter]:
    """Return the 3x3 convolutions inside the blocks of a network that holds U-Nets, for Muon."""
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    convolutions: list[nn.Conv2d] = [conv for block in blocks for conv in (block.conv1, block.conv2)]
    return [conv.weight for conv in convolutions]  # pyright: ignore[reportReturnType]  # stub


def conv3x3(width_in: int, width_out: int) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps height and width."""
    return nn.Conv2d(width_in, width_out, kernel_size=3, padding=1)


def group_norm(width: int) -> nn.GroupNorm:
    """Return a GroupNorm with groups of 32 channels."""
    return nn.GroupNorm(max(1, width // CHANNELS_PER_GROUP), width, eps=NORM_EPS)


def zero_weight(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution with zero weights and bias, so that its block starts as the identity."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
