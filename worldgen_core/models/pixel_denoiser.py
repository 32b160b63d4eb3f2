"""Both trained parts of `diamond`: EDM denoisers over pixels in [-1, 1], after DIAMOND (arXiv:2405.12399).

The low-resolution denoiser sees past frames and actions; the upsampler sees the last full frame and, as a
guide, the low-resolution one enlarged. Owns how U-Net, preconditioning and the noise on the context go
together, and how one frame is drawn; knows no files and no dream.
`compat="diamond"` repeats what the authors' code does and their paper does not say, and what their published
weights were therefore trained with: attention adds to its normalised input, every denoised picture is cut
(not rounded) to 8 bits, and the context gets fresh noise on top of the old in every sampling step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from worldgen_core.diffusion.edm import EdmSettings, preconditioners
from worldgen_core.diffusion.samplers import SamplerSettings, sample
from worldgen_core.models.chance import ChanceGuide, ChanceSettings
from worldgen_core.models.end_head import EndHead, num_recent, recent
from worldgen_core.models.inner_unet import InnerUnet, InnerUnetSettings
from worldgen_core.models.played_unet import PlayedUnet
from worldgen_core.names import CompatName

NUM_COLOURS = 3


class PixelDenoiserSettings(BaseModel):
    """Size of one denoiser and the constants it is built around."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unet: InnerUnetSettings
    """The network."""
    edm: EdmSettings = EdmSettings(sigma_data=0.5)
    """Preconditioning and training noise; pixels in [-1, 1] have a `sigma_data` of 0.5."""
    has_context_noise: bool = True
    """Whether training puts noise on the past frames, of a level that the network is told; it makes dreams
    robust against their own errors. Off for the upsampler."""
    end_width: int | None = Field(default=32, ge=1)
    """Channels of the head that tells when a life ends; None: no such head."""
    chance: ChanceSettings | None = None
    """What the game draws at random, as an input of its own; needed where frames are drawn in one step, which
    cannot choose. None: all chance is in the sampler's noise, as published."""
    compat: CompatName = "paper"
    """Whether to do as the paper says, or as the authors' code does, which their weights need."""


class PixelStageSettings(BaseModel):
    """A denoiser, and how a frame is drawn with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    denoiser: PixelDenoiserSettings
    """Size and constants."""
    sampler: SamplerSettings
    """How a frame is drawn."""
    context_noise: float = Field(default=0.0, ge=0)
    """Noise put on the past frames at play, whose level the network is told; 0 puts none."""

    def with_steps(self, num_steps: int | None) -> PixelStageSettings:
        """These settings with another number of sampler steps; None keeps it."""
        return self.model_copy(update={"sampler": self.sampler.with_steps(num_steps)})


class PixelContext(NamedTuple):
    """What the next frame depends on: past frames, then guides; the actions, whose last causes it.

    `act` is None for an upsampler. `sigma` is the level of the noise that lies on `obs`; None: none does.
    """

    obs: Float32[Tensor, "b t_and_guides c h w"]
    act: Int64[Tensor, "b t"] | None
    sigma: Float32[Tensor, " b"] | None


class PixelDenoiser(nn.Module):
    """D(x; sigma, context) over pixels and, if it has such a head, whether the result ends a life."""

    def __init__(
        self,
        settings: PixelDenoiserSettings,
        *,
        num_actions: int | None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Build the denoiser of `num_actions` actions, or with None an upsampler.

        `size` is that of its frames (height, width); only chance as an input depends on it.
        """
        super().__init__()
        self.settings = settings
        self.num_actions = num_actions
        self.num_context_frames = settings.unet.num_context_frames
        unet, num_guides = settings.unet, int(num_actions is None) + int(settings.chance is not None)
        if settings.compat == "diamond":
            unet = unet.model_copy(update={"attention_adds_to": "normalised input"})
        self.unet: InnerUnet | PlayedUnet = InnerUnet(
            unet, num_channels=NUM_COLOURS, num_actions=num_actions, num_guides=num_guides
        )
        self.chance = None
        if settings.chance is not None:
            assert size is not None
            self.chance = ChanceGuide(settings.chance, (NUM_COLOURS, *size))
        seen = NUM_COLOURS * num_recent(self.num_context_frames)
        self.end_head = None if settings.end_width is None else EndHead(seen, settings.end_width)

    def forward(
        self, x: Float32[Tensor, "b c h w"], sigma: Float32[Tensor, " b"], context: PixelContext
    ) -> Float32[Tensor, "b c h w"]:
        """Return the expected clean frame, in [-1, 1]."""
        edm = self.settings.edm
        factors = preconditioners(sigma, sigma_data=edm.sigma_data, sigma_offset_noise=edm.sigma_offset_noise)
        output = self.raw(factors.c_in * x, factors.c_noise, context)
        return self.finish(factors.c_skip * x + factors.c_out * output)

    @property
    def own_unet(self) -> InnerUnet:
        """The U-Net that is trained."""
        return self.unet.unet if isinstance(self.unet, PlayedUnet) else self.unet

    def raw(
        self, x: Float32[Tensor, "b c h w"], c_noise: Float32[Tensor, " b"], context: PixelContext
    ) -> Float32[Tensor, "b c h w"]:
        """Return the network's own output F, of which the loss is taken."""
        c_noise_context = torch.zeros_like(c_noise) if context.sigma is None else context.sigma.log() / 4
        prev_obs = context.obs / self.settings.edm.sigma_data
        return self.unet(x, c_noise, c_noise_context, prev_obs, context.act)

    def finish(self, denoised: Float32[Tensor, "b c h w"]) -> Float32[Tensor, "b c h w"]:
        """Return the estimate as it is sampled with and fed back: clamped to [-1, 1]."""
        clamped = denoised.clamp(-1, 1)
        if self.settings.compat == "paper":
            return clamped
        levels = ((clamped + 1) / 2 * 255).to(torch.uint8)  # cuts off: 63 of 256 levels lose one
        return levels / 255 * 2 - 1

    def end_logit(
        self, past: Float32[Tensor, "b t c h w"], obs: Float32[Tensor, "b c h w"]
    ) -> Float32[Tensor, " b"]:
        """Return the logit of `obs`, which follows `past`, being the last frame of a life."""
        assert self.end_head is not None
        return self.end_head(recent(past, obs))


NoiseOfShape = Callable[[tuple[int, ...]], Tensor]
"""Fresh standard normal noise of a shape (without the batch axis), for every row of the batch."""


def draw_frame(
    denoiser: PixelDenoiser,
    obs: Float32[Tensor, "b t_and_guides c h w"],
    act: Int64[Tensor, "b t"] | None,
    stage: PixelStageSettings,
    noise: NoiseOfShape,
) -> Float32[Tensor, "b c h w"]:
    """Draw the frame that follows `obs` (and its guides) under `act`.

    Range: `obs` and the result in [-1, 1]. Cost: `stage.sampler.num_evaluations` network calls.
    Determinism: the same noise, device and dtype give the same bits.
    """
    compat, level = denoiser.settings.compat, stage.context_noise
    told, past = _told_level(denoiser, level), min(denoiser.num_context_frames, obs.shape[1])
    sigma = torch.full((len(obs),), told, device=obs.device) if told else None
    seen = obs

    def add_context_noise() -> None:
        nonlocal seen
        pictures = noise((past * obs.shape[2], *obs.shape[3:]))
        noisy = seen[:, :past] + level * rearrange(pictures, "b (t c) h w -> b t c h w", t=past)
        seen = torch.cat([noisy, seen[:, past:]], dim=1)

    if level and compat == "paper":
        add_context_noise()
    return sample(
        lambda x, sigma_x: denoiser(x, sigma_x, PixelContext(seen, act, sigma)),
        lambda: noise(tuple(obs.shape[2:])),
        stage.sampler,
        compat=compat,
        before_step=add_context_noise if level and compat == "diamond" else None,
    )


def _told_level(denoiser: PixelDenoiser, level: float) -> float:
    """The level of noise on its context that a denoiser is told, by its logarithm.

    Of a clean context it is told the least of its training; the authors' code tells 0, which reads as 1.
    """
    settings = denoiser.settings
    if settings.compat == "diamond" or not settings.has_context_noise:
        return level
    return max(level, settings.edm.sigma_min)
