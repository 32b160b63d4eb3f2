"""What the denoiser and the upsampler of `diamond` minimise: the EDM loss along their own dream.

As DIAMOND trains (arXiv:2405.12399, section 3 and its code): every frame of a window is judged from noise at
a random level, and the clean estimate of that judgement is fed back as the context of the next frame. The
denoiser also sees its past frames under noise of a random level, which it is told. Or what is fed back is an
honest dream (training/dreaming.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float32, Int64
from pydantic import Field
from torch import Tensor, nn

from worldgen_core.diffusion.edm import EdmSettings, add_noise, preconditioners, training_sigma
from worldgen_core.diffusion.losses import Judged, edm_loss, weight_of_change
from worldgen_core.models.end_head import end_loss
from worldgen_core.models.inner_unet import block_convolutions
from worldgen_core.models.pixel_denoiser import PixelContext, PixelDenoiser
from worldgen_core.rows import row_share, take_part, uniform
from worldgen_core.training.chance_loss import tell_guides
from worldgen_core.training.dream_settings import DreamLossSettings
from worldgen_core.training.dreaming import Dreamer, Parts, new_parts, total, unchanged


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


class DiamondLossSettings(DreamLossSettings):
    """Weights of the parts of the loss; the defaults are DIAMOND's."""

    context_noise: float = Field(default=0.0, ge=0)
    """Largest deviation of the noise on the past frames where `dreams` is on, drawn per window; off, it is
    drawn as that on the frame to be predicted."""


class DiamondObjective:
    """The loss of one of the two stages; `batches` is a pure function of the training step."""

    def __init__(
        self,
        denoiser: PixelDenoiser,
        settings: DiamondLossSettings,
        batches: Callable[[int], PixelBatch],
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
        batch = take_part(self._batches(train_step), generator).to(device)
        num_context, length = self._denoiser.num_context_frames, batch.obs.shape[1]
        window = list(batch.obs[:, :num_context].unbind(dim=1))
        parts, share = new_parts(), row_share(generator)
        for t in range(num_context, length):
            guides = tell_guides(self._denoiser.chance, window[-1], batch.obs[:, t], generator, parts)
            context = self._context(window, batch, t, guides, generator)
            dreamt = self._one_frame(context, batch.obs[:, t - 1 : t + 1], generator, parts)
            if self._denoiser.end_head is not None:
                logit = self._denoiser.end_logit(torch.stack(window, dim=1), dreamt)
                ends = end_loss(logit, batch.end[:, t], self._settings.death_weight)
                parts["end"].append(share * ends.mean())
            window = [*window[1:], dreamt]
        return total(parts, self._settings.weights)

    def _one_frame(
        self, context: PixelContext, pair: Tensor, generator: torch.Generator, parts: Parts
    ) -> Tensor:
        """Judge the prediction of pair[:, 1], which follows pair[:, 0], and return what is to be fed back."""
        if self._settings.dreams:
            return self._denoiser.finish(self._dreamer.one_frame(context, pair, generator, parts))
        estimate = self._dreamer.noisy_frame(context, pair, generator, parts)
        return self._denoiser.finish(estimate.detach())

    def _random_levels(self, num_rows: int, generator: torch.Generator) -> Tensor:
        return training_sigma(num_rows, self._denoiser.settings.edm, generator, torch.device("cpu"))

    def _context_levels(self, num_rows: int, generator: torch.Generator) -> Tensor:
        """Noise of the past frames; the network is told its logarithm, so it is never 0."""
        if not self._settings.dreams:
            return self._random_levels(num_rows, generator)
        least = self._denoiser.settings.edm.sigma_min
        return least + self._settings.context_noise * uniform((num_rows,), generator)

    def _context(
        self, window: list[Tensor], batch: PixelBatch, t: int, guides: Tensor, generator: torch.Generator
    ) -> PixelContext:
        """What frame t is predicted from; the noise on it has an offset a channel of each frame, too."""
        settings, obs = self._denoiser.settings, torch.stack(window, dim=1)
        sigma = None
        if settings.has_context_noise:
            sigma = self._context_levels(len(obs), generator).to(obs.device)
            obs = rearrange(
                _noised(rearrange(obs, "b t c h w -> b (t c) h w"), sigma, settings.edm, generator),
                "b (t c) h w -> b t c h w",
                t=len(window),
            )
        if batch.guide is not None:
            return PixelContext(torch.cat([obs, batch.guide[:, t : t + 1]], dim=1), None, sigma)
        return PixelContext(torch.cat([obs, guides], dim=1), batch.act[:, t - len(window) : t], sigma)

    def _judge(
        self, context: PixelContext, pair: Tensor, hidden: Tensor, sigma: Tensor, generator: torch.Generator
    ) -> Judged:
        """EDM loss of the estimate of pair[:, 1] from `hidden` under noise."""
        edm, (before, clean) = self._denoiser.settings.edm, pair.unbind(dim=1)
        noisy = _noised(hidden, sigma, edm, generator)
        factors = preconditioners(sigma, sigma_data=edm.sigma_data, sigma_offset_noise=edm.sigma_offset_noise)
        weight = None
        if self._settings.change_weight:
            weight = weight_of_change(before, clean, self._settings.change_weight)
        return edm_loss(
            lambda x, c_noise: self._denoiser.raw(x, c_noise, context), clean, noisy, factors, weight=weight
        )


def _noised(x: Tensor, sigma: Tensor, edm: EdmSettings, generator: torch.Generator) -> Tensor:
    return add_noise(x, sigma, sigma_offset_noise=edm.sigma_offset_noise, generator=generator)
