"""What the latent denoiser minimises: EDM loss along its own dream, and the termination head's cross-entropy.

A window is dreamt for `unroll` frames, each fed back as the context of the next: as DIAMOND does it, the
estimate that its EDM loss judged, or an honest dream (training/dreaming.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn

from worldgen_core.diffusion.edm import add_noise, preconditioners, training_sigma
from worldgen_core.diffusion.losses import Judged, edm_loss, weight_of_change
from worldgen_core.models.end_head import end_loss
from worldgen_core.models.inner_unet import block_convolutions
from worldgen_core.models.latent_denoiser import LatentContext, LatentDenoiser
from worldgen_core.rows import normal, row_share, take_part, uniform
from worldgen_core.training.chance_loss import tell_guides
from worldgen_core.training.dream_settings import DreamLossSettings
from worldgen_core.training.dreaming import Dreamer, Parts, new_parts, total, unchanged
from worldgen_core.training.latent_windows import LatentBatch


class DiamondVaeLossSettings(DreamLossSettings):
    """Weights of the parts of the loss, and how the dream of a window goes."""

    context_noise: float = Field(default=0.0, ge=0)
    """Largest deviation of the noise on the context, drawn per window; its level is told to the network."""


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
        self._dreamer = Dreamer(
            self._judge, self._random_levels, sigma_start, share=settings.level_share, beside=unchanged
        )

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Dream this step's windows and return the loss and its parts."""
        device = next(self._denoiser.parameters()).device
        own = take_part(self._batches(train_step), generator)
        batch = LatentBatch(*(part.to(device) for part in own))
        num_context, length = self._denoiser.num_context_frames, batch.z.shape[1]
        level = uniform((len(batch.z),), generator).to(device) * self._settings.context_noise
        window = list(batch.z[:, :num_context].unbind(dim=1))
        parts = new_parts()
        for t in range(num_context, length):
            noisy_window = _with_noise(torch.stack(window, dim=1), level, generator)
            guides = tell_guides(self._denoiser.chance, window[-1], batch.z[:, t], generator, parts)
            context = LatentContext(noisy_window, batch.act[:, t - num_context : t], level, guides)
            dreamt = self._one_frame(context, batch.z[:, t - 1 : t + 1], generator, parts)
            parts["end"].append(row_share(generator) * self._end_loss(context, dreamt, batch.end[:, t]))
            window = [*window[1:], dreamt]
        return total(parts, self._settings.weights)

    def _one_frame(
        self, context: LatentContext, pair: Tensor, generator: torch.Generator, parts: Parts
    ) -> Tensor:
        """Judge the prediction of pair[:, 1], which follows pair[:, 0], and return what is to be fed back."""
        if self._settings.dreams:
            return self._dreamer.one_frame(context, pair, generator, parts)
        return self._dreamer.noisy_frame(context, pair, generator, parts).detach()

    def _random_levels(self, num_rows: int, generator: torch.Generator) -> Tensor:
        return training_sigma(num_rows, self._denoiser.settings.edm, generator, torch.device("cpu"))

    def _judge(
        self, context: LatentContext, pair: Tensor, hidden: Tensor, sigma: Tensor, generator: torch.Generator
    ) -> Judged:
        """EDM loss of the estimate of pair[:, 1] from `hidden` under noise."""
        edm, (before, clean) = self._denoiser.settings.edm, pair.unbind(dim=1)
        noisy = add_noise(hidden, sigma, sigma_offset_noise=edm.sigma_offset_noise, generator=generator)
        factors = preconditioners(sigma, sigma_data=edm.sigma_data, sigma_offset_noise=edm.sigma_offset_noise)
        weight = weight_of_change(before, clean, self._settings.change_weight)
        return edm_loss(
            lambda x, c_noise: self._denoiser.raw(x, c_noise, context),
            clean,
            noisy,
            factors,
            weight=weight,
        )

    def _end_loss(self, context: LatentContext, dreamt: Tensor, end: Tensor) -> Tensor:
        logit = self._denoiser.end_logit(context, dreamt)
        return end_loss(logit, end, self._settings.death_weight).mean()


def _with_noise(z: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    noise = normal(z.shape, generator).to(z.device)
    return z + sigma[:, None, None, None, None] * noise
