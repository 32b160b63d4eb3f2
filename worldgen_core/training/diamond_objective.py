"""What the denoiser and the upsampler of `diamond` minimise: the EDM loss along their own dream.

As DIAMOND trains (arXiv:2405.12399, section 3 and its code): every frame of a window is judged from noise at
a random level, and the clean estimate of that judgement is fed back as the context of the next frame. The
denoiser also sees its past frames under noise of a random level, which it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.diffusion.edm import EdmSettings, add_noise, preconditioners, training_sigma
from worldgen_core.diffusion.losses import EdmLoss, edm_loss, weight_of_change
from worldgen_core.models.inner_unet import block_convolutions
from worldgen_core.models.pixel_denoiser import PixelContext, PixelDenoiser
from worldgen_core.rows import row_share, take_part


class PixelBatch(NamedTuple):
    """Windows of frames in [-1, 1]; `act[:, i]` leads from `obs[:, i]` to `obs[:, i + 1]`.

    `guide` holds each frame at low resolution, enlarged, for an upsampler, which takes no actions; None else.
    """

    obs: Float32[Tensor, "b t c h w"]
    act: Int64[Tensor, "b t"]
    end: Bool[Tensor, "b t"]
    guide: Float32[Tensor, "b t c h w"] | None

    def to(self, device: torch.device) -> PixelBatch:
        """The same on a device."""
        guide = None if self.guide is None else self.guide.to(device)
        return PixelBatch(self.obs.to(device), self.act.to(device), self.end.to(device), guide)


class DiamondLossSettings(BaseModel):
    """Weights of the parts of the loss; the defaults are DIAMOND's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    change_weight: float = Field(default=0.0, ge=0)
    """Extra weight per unit of change between two true frames, there or beside it, so that small moving
    things count."""
    end_weight: float = Field(default=0.1, ge=0)
    """Weight of the termination head's cross-entropy, where there is such a head."""


class DiamondObjective:
    """The loss of one of the two stages; `batches` is a pure function of the training step."""

    def __init__(
        self,
        denoiser: PixelDenoiser,
        settings: DiamondLossSettings,
        batches: Callable[[int], PixelBatch],
    ) -> None:
        self.module: nn.Module = denoiser
        self.matrices = block_convolutions(denoiser)
        self._denoiser = denoiser
        self._settings = settings
        self._batches = batches

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Dream this step's windows and return the loss and its parts."""
        device = next(self._denoiser.parameters()).device
        batch = take_part(self._batches(train_step), generator).to(device)
        num_context, length = self._denoiser.num_context_frames, batch.obs.shape[1]
        window = list(batch.obs[:, :num_context].unbind(dim=1))
        edm: list[Tensor] = []
        ends: list[Tensor] = []
        for t in range(num_context, length):
            context = self._context(window, batch, t, generator)
            result = self._judge(context, batch.obs[:, t - 1 : t + 1], generator)
            dreamt = self._denoiser.finish(result.denoised.detach())
            edm.append(result.loss.mean())
            if self._denoiser.end_head is not None:
                logit = self._denoiser.end_logit(window[-1], dreamt)
                end = batch.end[:, t].to(logit.dtype)
                ends.append(functional.binary_cross_entropy_with_logits(logit, end))
            window = [*window[1:], dreamt]
        means = {name: torch.stack(values).mean() for name, values in (("edm", edm), ("end", ends)) if values}
        total = means["edm"] + self._settings.end_weight * means["end"] if ends else means["edm"]
        share = row_share(generator)
        return {"loss": share * total, **{name: share * value.detach() for name, value in means.items()}}

    def _context(
        self, window: list[Tensor], batch: PixelBatch, t: int, generator: torch.Generator
    ) -> PixelContext:
        """What frame t is predicted from; the noise on it has an offset a channel of each frame, too."""
        settings, obs = self._denoiser.settings, torch.stack(window, dim=1)
        sigma = None
        if settings.has_context_noise:
            sigma = training_sigma(len(obs), settings.edm, generator, obs.device)
            obs = rearrange(
                _noised(rearrange(obs, "b t c h w -> b (t c) h w"), sigma, settings.edm, generator),
                "b (t c) h w -> b t c h w",
                t=len(window),
            )
        if batch.guide is not None:
            return PixelContext(torch.cat([obs, batch.guide[:, t : t + 1]], dim=1), None, sigma)
        return PixelContext(obs, batch.act[:, t - len(window) : t], sigma)

    def _judge(
        self, context: PixelContext, pair: Float32[Tensor, "b 2 c h w"], generator: torch.Generator
    ) -> EdmLoss:
        """EDM loss of the estimate of pair[:, 1], which follows pair[:, 0], at a random level of noise."""
        edm, (before, clean) = self._denoiser.settings.edm, pair.unbind(dim=1)
        sigma = training_sigma(len(clean), edm, generator, clean.device)
        noisy = _noised(clean, sigma, edm, generator)
        factors = preconditioners(sigma, sigma_data=edm.sigma_data, sigma_offset_noise=edm.sigma_offset_noise)
        weight = None
        if self._settings.change_weight:
            weight = weight_of_change(before, clean, self._settings.change_weight)
        return edm_loss(
            lambda x, c_noise: self._denoiser.raw(x, c_noise, context), clean, noisy, factors, weight=weight
        )


def _noised(x: Tensor, sigma: Tensor, edm: EdmSettings, generator: torch.Generator) -> Tensor:
    return add_noise(x, sigma, sigma_offset_noise=edm.sigma_offset_noise, generator=generator)
