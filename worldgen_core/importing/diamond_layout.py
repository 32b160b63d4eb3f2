"""How DIAMOND's code names its weights, and what their shapes say of the network's size.

Source: github.com/eloialonso/diamond, branch csgo. Pure functions of names and tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from worldgen_core.models.inner_unet import InnerUnetSettings

_RENAMED = (
    (r"^inner_model\.", "unet."),
    (r"noise_emb\.weight$", "noise_features.frequency"),
    (r"noise_cond_emb\.weight$", "context_noise_features.frequency"),
    (r"act_emb\.0\.", "action_embedding."),
    (r"cond_proj\.", "cond_mlp."),
    (r"\bd_blocks\.", "down."),
    (r"\bu_blocks\.", "up."),
    (r"mid_blocks\.", "middle."),
    (r"\bresblocks\.", "blocks."),
    (r"\.proj\.", ".project."),
    (r"\.norm([12])\.", r".modulate\1."),
    (r"\.attn\.norm\.norm\.", ".attention.norm."),
    (r"\.attn\.qkv_proj\.", ".attention.query_key_value."),
    (r"\.attn\.out_proj\.", ".attention.out."),
    (r"norm_out\.norm\.", "norm_out."),
)
_RESIZED = {"downsamples": "shrink", "upsamples": "grow"}


def renamed(name: str) -> str:
    """The name in `PixelDenoiser` of a weight that DIAMOND calls `name` within a denoiser."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    # Theirs starts with a layer that does nothing, so that every level has one.
    return re.sub(
        r"\.(downsamples|upsamples)\.(\d+)\.conv\.",
        lambda found: f".{_RESIZED[found[1]]}.{int(found[2]) - 1}.",
        name,
    )


def converted(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of one of their denoisers, as `PixelDenoiser` holds them."""
    tensors = {renamed(name): value for name, value in weights.items()}
    return {name: value[0] if name.endswith("frequency") else value for name, value in tensors.items()}


def unet_settings(tensors: Mapping[str, Tensor], *, num_guides: int) -> InnerUnetSettings:
    """The size of the U-Net whose converted weights these are.

    Raises: KeyError or ValueError if they are not those of such a network.
    """
    num_levels = _count(tensors, r"unet\.unet\.down\.(\d+)\.")
    depths = [_count(tensors, rf"unet\.unet\.down\.{level}\.blocks\.(\d+)\.") for level in range(num_levels)]
    conv_in, cond = tensors["unet.conv_in.weight"], tensors["unet.cond_mlp.0.weight"].shape[0]
    num_colours = tensors["unet.conv_out.weight"].shape[0]
    return InnerUnetSettings(
        channels=tuple(
            tensors[f"unet.unet.down.{level}.blocks.0.conv2.weight"].shape[0] for level in range(num_levels)
        ),
        depths=tuple(depths),
        attention=tuple(
            f"unet.unet.down.{level}.blocks.0.attention.norm.weight" in tensors for level in range(num_levels)
        ),
        cond_channels=cond,
        num_context_frames=conv_in.shape[1] // num_colours - 1 - num_guides,
    )


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers the names have at one place."""
    return len({found[1] for name in tensors if (found := re.match(pattern, name))})
