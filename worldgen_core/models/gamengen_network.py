"""GameNGen's network: diffusers' U-Net of Stable Diffusion over latents, told past frames, actions and noise.

Valevski et al. 2024 (arXiv:2408.14837). Past latents are concatenated on channels; one token an action stands
where the text was. Departures: tokens carry a learned place, since cross-attention does not see order; a head
tells when a life ends. Knows neither frames nor files.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from einops import rearrange
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from worldgen_core.models.chance import ChanceGuide
from worldgen_core.models.end_head import EndHead, num_recent, recent
from worldgen_core.models.gamengen_settings import GamengenNetworkSettings, GamengenUnetSettings


class ToldUnet(UNet2DConditionModel):
    """diffusers' U-Net, called with tensors alone; the noise on the context is its class."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  # fewer inputs, tensors alone
        self,
        pictures: Float[Tensor, "b c_in h w"],
        level: Int64[Tensor, " b"],
        tokens: Float[Tensor, "b t s"],
        bucket: Int64[Tensor, " b"],
    ) -> Float[Tensor, "b c h w"]:
        """Return v, in the precision of the products."""
        return super().forward(pictures, level, tokens, class_labels=bucket, return_dict=False)[0]


class GamengenContext(NamedTuple):
    """What the next latent depends on; act[:, -1] causes it, and `bucket` is the noise that lies on `z`.

    `guides` are pictures that tell its chance; a model without chance has none.
    """

    z: Float32[Tensor, "b t c h w"]
    act: Int64[Tensor, "b t"]
    bucket: Int64[Tensor, " b"]
    guides: Float32[Tensor, "b g c h w"]


class GamengenNetwork(nn.Module):
    """v(x, level, context) over normalised latents, and the probability that a latent ends a life."""

    def __init__(
        self, settings: GamengenNetworkSettings, *, latent_shape: tuple[int, int, int], num_actions: int
    ) -> None:
        super().__init__()
        num_channels, height, width = latent_shape
        num_pictures = 1 + settings.num_context_frames + int(settings.chance is not None)
        self.settings = settings
        self.latent_shape = latent_shape
        self.num_actions = num_actions
        self.num_context_frames = settings.num_context_frames
        self.unet = make_unet(
            settings.unet,
            num_channels_in=num_channels * num_pictures + settings.num_place_channels,
            num_channels_out=num_channels,
            num_noise_buckets=settings.num_noise_buckets,
        )
        size = settings.unet.token_size
        self.action_tokens = nn.Embedding(num_actions, size)
        self.token_places = nn.Parameter(torch.randn(settings.num_context_frames, size))
        self.places = (
            nn.Parameter(torch.zeros(settings.num_place_channels, height, width))
            if settings.num_place_channels
            else None
        )
        self.end_head = EndHead(num_channels * num_recent(settings.num_context_frames), settings.end_width)
        self.chance = None if settings.chance is None else ChanceGuide(settings.chance, latent_shape)

    def forward(
        self, x: Float32[Tensor, "b c h w"], level: Int64[Tensor, " b"], context: GamengenContext
    ) -> Float32[Tensor, "b c h w"]:
        """Return v of `x`, which is under noise of `level`."""
        seen = [x, *(rearrange(part, "b t c h w -> b (t c) h w") for part in (context.z, context.guides))]
        if self.places is not None:
            seen.append(self.places.expand(len(x), -1, -1, -1))
        tokens = self.action_tokens(context.act) + self.token_places
        return self.unet(torch.cat(seen, dim=1), level, tokens, context.bucket).float()

    def guided(
        self,
        x: Float32[Tensor, "b c h w"],
        level: Int64[Tensor, " b"],
        context: GamengenContext,
        guidance: float,
    ) -> Float32[Tensor, "b c h w"]:
        """Return v, moved away from what the network says of the same actions without past frames.

        Source: Ho & Salimans 2022 (arXiv:2207.12598), with weight 1 for no guidance.
        """
        if guidance == 1:
            return self(x, level, context)
        both = GamengenContext(
            *(torch.cat(pair) for pair in zip(context, without_frames(context), strict=True))
        )
        told, free = self(torch.cat([x, x]), torch.cat([level, level]), both).chunk(2)
        return free + guidance * (told - free)

    def bucket(self, deviation: Float32[Tensor, " b"]) -> Int64[Tensor, " b"]:
        """Return the bucket of the noise on a context; 0 holds a clean one."""
        settings = self.settings
        if settings.max_context_noise == 0:
            return torch.zeros_like(deviation, dtype=torch.int64)
        share = deviation / settings.max_context_noise
        return (share * settings.num_noise_buckets).long().clamp(max=settings.num_noise_buckets - 1)

    def end_logit(self, context: GamengenContext, z: Float32[Tensor, "b c h w"]) -> Float32[Tensor, " b"]:
        """Return the logit of `z`, which follows the context, being the last frame of a life."""
        return self.end_head(recent(context.z, z))


def without_frames(context: GamengenContext) -> GamengenContext:
    """Return the context with all past frames zeroed, and actions and guides as they are."""
    return context._replace(z=torch.zeros_like(context.z), bucket=torch.zeros_like(context.bucket))


def make_unet(
    settings: GamengenUnetSettings, *, num_channels_in: int, num_channels_out: int, num_noise_buckets: int
) -> ToldUnet:
    """Return diffusers' U-Net with fresh weights."""
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in settings.attention]
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(settings.attention)]
    return ToldUnet(
        in_channels=num_channels_in,
        out_channels=num_channels_out,
        block_out_channels=settings.channels,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        layers_per_block=settings.num_blocks,
        cross_attention_dim=settings.token_size,
        attention_head_dim=settings.num_heads,  # diffusers' name for the number of heads
        norm_num_groups=settings.num_groups,
        num_class_embeds=num_noise_buckets,
    )


def inner_convolutions(network: GamengenNetwork) -> list[nn.Parameter]:
    """Return the 3x3 convolutions inside the residual blocks, for Muon."""
    return [
        weight
        for name, weight in network.unet.named_parameters()
        if ".resnets." in name and weight.ndim == 4 and weight.shape[-1] == 3
    ]
