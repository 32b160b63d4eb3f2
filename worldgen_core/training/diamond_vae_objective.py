"""What the latent denoiser minimises: EDM loss along its own dream, and the termination head's cross-entropy.

A window is dreamt for `unroll` frames, each fed back as the context of the next. DIAMOND feeds back the
estimate that its EDM loss judged; that estimate was made from a noisy true latent, and even strong noise
gives away where small things are, so its context stays close to the truth. Here the feedback can instead be
an honest one-step dream, made from pure noise at the level where sampling starts; the EDM loss at random
levels is then taken beside it, on the same dreamt context.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.diffusion.edm import add_noise, preconditioners, training_sigma
from worldgen_core.diffusion.losses import EdmLoss, edm_loss, weight_of_change
from worldgen_core.models.inner_unet import block_convolutions
from worldgen_core.models.latent_denoiser import LatentContext, LatentDenoiser
from worldgen_core.rows import among, normal, row_share, rows_of, take_part, uniform
from worldgen_core.training.latent_windows import LatentBatch


class DiamondVaeLossSettings(BaseModel):
    """Weights of the parts of the loss, and how the dream of a window goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dreams_from_noise: bool = False
    """Whether windows are dreamt from pure noise, one step a frame, so that the context is honestly the
    model's own. Off is DIAMOND's way: cheaper, and dreams of few steps hold less long."""
    edm_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the windows that also learn to denoise at random levels where `dreams_from_noise` is on;
    raising it makes samples of several steps better and costs time. Off, all windows do."""
    has_gradient_through_dream: bool = False
    """Whether an error is also charged to the earlier frames that led to it; DIAMOND does not."""
    context_noise: float = Field(default=0.0, ge=0)
    """Largest deviation of the noise on the context, drawn per window; its level is told to the network."""
    change_weight: float = Field(default=0.0, ge=0)
    """Extra weight per unit of change between two true latents, there or beside it, so that small moving
    things count."""
    end_weight: float = Field(default=0.1, ge=0)
    """Weight of the termination head's cross-entropy."""


class DiamondVaeObjective:
    """The loss of a latent denoiser; `batches` is a pure function of the training step."""

    def __init__(
        self,
        denoiser: LatentDenoiser,
        settings: DiamondVaeLossSettings,
        batches: Callable[[int], LatentBatch],
        *,
        sigma_start: float,
    ) -> None:
        """`sigma_start` is the noise level at which sampling starts."""
        self.module: nn.Module = denoiser
        self.matrices = block_convolutions(denoiser)
        self._denoiser = denoiser
        self._settings = settings
        self._batches = batches
        self._sigma_start = sigma_start

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Dream this step's windows and return the loss and its parts."""
        device = next(self._denoiser.parameters()).device
        own = take_part(self._batches(train_step), generator)
        batch = LatentBatch(*(part.to(device) for part in own))
        num_context, length = self._denoiser.num_context_frames, batch.z.shape[1]
        level = uniform((len(batch.z),), generator).to(device) * self._settings.context_noise
        window = list(batch.z[:, :num_context].unbind(dim=1))
        parts: dict[str, list[Tensor]] = {"dream": [], "edm": [], "end": []}
        for t in range(num_context, length):
            noisy_window = _with_noise(torch.stack(window, dim=1), level, generator)
            context = LatentContext(noisy_window, batch.act[:, t - num_context : t], level)
            dreamt = self._one_frame(context, batch.z[:, t - 1 : t + 1], generator, parts)
            parts["end"].append(row_share(generator) * self._end_loss(context, dreamt, batch.end[:, t]))
            keeps_gradient = self._settings.has_gradient_through_dream
            window = [*window[1:], dreamt if keeps_gradient else dreamt.detach()]
        means = {name: torch.stack(values).mean() for name, values in parts.items() if values}
        pictures = [means[name] for name in ("dream", "edm") if name in means]
        total = torch.stack(pictures).sum() + self._settings.end_weight * means["end"]
        return {"loss": total, **{name: value.detach() for name, value in means.items()}}

    def _one_frame(
        self,
        context: LatentContext,
        pair: Float32[Tensor, "b 2 c h w"],
        generator: torch.Generator,
        parts: dict[str, list[Tensor]],
    ) -> Tensor:
        """Judge the prediction of pair[:, 1], which follows pair[:, 0], and return what is to be fed back."""
        num_windows, is_dream = len(pair), self._settings.dreams_from_noise
        share, edm = row_share(generator), self._denoiser.settings.edm
        if not is_dream:
            sigma = training_sigma(num_windows, edm, generator, pair.device)
            result = self._judge(context, pair, pair[:, 1], sigma, generator)
            parts["edm"].append(share * result.loss.mean())
            return result.denoised
        # One pass for both: all windows from pure noise, then some of them again, from noisy true latents.
        rows, num_rows = rows_of(num_windows, generator)
        num_beside = max(1, round(self._settings.edm_share * num_rows))
        own = rows[rows < num_beside]
        num_edm = len(own)
        with among(own, num_beside, generator):
            sigma = training_sigma(num_edm, edm, generator, pair.device)
        beside = LatentContext(*(value[:num_edm].detach() for value in context))
        both = LatentContext(*(torch.cat(values) for values in zip(context, beside, strict=True)))
        pairs = torch.cat([pair, pair[:num_edm]])
        hidden = torch.cat([torch.zeros_like(pair[:, 1]), pair[:num_edm, 1]])
        sigma = torch.cat([sigma.new_full((num_windows,), self._sigma_start), sigma])
        with among(torch.cat([rows, num_rows + own]), num_rows + num_beside, generator):
            result = self._judge(both, pairs, hidden, sigma, generator)
        parts["dream"].append(share * result.loss[:num_windows].mean())
        parts["edm"].append(result.loss[num_windows:].sum() / num_beside)
        return result.denoised[:num_windows]

    def _judge(
        self, context: LatentContext, pair: Tensor, hidden: Tensor, sigma: Tensor, generator: torch.Generator
    ) -> EdmLoss:
        """EDM loss of the estimate of pair[:, 1] from `hidden` under noise."""
        edm, (before, clean) = self._denoiser.settings.edm, pair.unbind(dim=1)
        noisy = add_noise(hidden, sigma, sigma_offset_noise=edm.sigma_offset_noise, generator=generator)
        factors = preconditioners(sigma, sigma_data=edm.sigma_data, sigma_offset_noise=edm.sigma_offset_noise)
        weight = weight_of_change(before, clean, self._settings.change_weight)
        return edm_loss(
            lambda x, c_noise: self._denoiser.raw(x, c_noise, context), clean, noisy, factors, weight=weight
        )

    def _end_loss(self, context: LatentContext, dreamt: Tensor, end: Tensor) -> Tensor:
        # Detached: the head reads the dream and must not bend it.
        plain = LatentContext(context.z.detach(), context.act, context.sigma)
        logit = self._denoiser.end_logit(plain, dreamt.detach())
        return functional.binary_cross_entropy_with_logits(logit, end.to(logit.dtype))


def _with_noise(z: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    noise = normal(z.shape, generator).to(z.device)
    return z + sigma[:, None, None, None, None] * noise
