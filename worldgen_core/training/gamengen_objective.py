"""What GameNGen's network minimises: the error of v at random levels of noise, and the termination head's.

A window predicts `unroll` frames. As published, each from true past frames under noise. Where it dreams, each
frame is made from noise alone in one step and becomes part of the next one's context; the error at random
levels is taken beside it, on the same dreamt context, as in `diamond-vae`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn import functional

from worldgen_core.diffusion.ddim import add_noise, clean_estimate, make_scheduler
from worldgen_core.diffusion.losses import weight_of_change
from worldgen_core.models.gamengen_network import (
    GamengenContext,
    GamengenNetwork,
    inner_convolutions,
    without_frames,
)
from worldgen_core.rows import among, normal, row_share, rows_of, take_part, uniform
from worldgen_core.training.gamengen_settings import GamengenLossSettings
from worldgen_core.training.latent_windows import LatentBatch

Parts = dict[str, list[Tensor]]
"""Losses by name, one a predicted frame."""


class Judged(NamedTuple):
    """Of each row: its error, and the clean latent that was estimated."""

    loss: Float32[Tensor, " b"]
    clean: Float32[Tensor, "b c h w"]


class GamengenObjective:
    """The loss of a `GamengenNetwork`; `batches` is a pure function of the training step."""

    def __init__(
        self,
        network: GamengenNetwork,
        settings: GamengenLossSettings,
        batches: Callable[[int], LatentBatch],
    ) -> None:
        self.module: nn.Module = network
        self.matrices = inner_convolutions(network)
        self._network = network
        self._settings = settings
        self._batches = batches
        self._scheduler = make_scheduler(network.settings.schedule)
        self._num_levels = network.settings.schedule.num_levels

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Predict this step's windows and return the loss and its parts."""
        device = next(self._network.parameters()).device
        own = take_part(self._batches(train_step), generator)
        batch = LatentBatch(*(part.to(device) for part in own))
        num_context, length = self._network.num_context_frames, batch.z.shape[1]
        window = list(batch.z[:, :num_context].unbind(dim=1))
        parts: Parts = {"dream": [], "level": [], "end": []}
        for t in range(num_context, length):
            context = self._context(torch.stack(window, dim=1), batch.act[:, t - num_context : t], generator)
            pair = batch.z[:, t - 1 : t + 1]
            made = (self._dream if self._settings.dreams else self._teach)(context, pair, generator, parts)
            parts["end"].append(row_share(generator) * self._end_loss(context, made, batch.end[:, t]))
            window = [*window[1:], made if self._settings.dreams else batch.z[:, t]]
        means = {name: torch.stack(values).mean() for name, values in parts.items() if values}
        pictures = [means[name] for name in ("dream", "level") if name in means]
        total = torch.stack(pictures).sum() + self._settings.end_weight * means["end"]
        return {"loss": total, **{name: value.detach() for name, value in means.items()}}

    def _context(self, z: Tensor, act: Tensor, generator: torch.Generator) -> GamengenContext:
        """The context under noise, whose deviation is drawn per window and told by its bucket."""
        drawn = uniform((len(z),), generator).to(z.device)
        deviation = drawn * self._network.settings.max_context_noise
        noise = normal(z.shape, generator).to(z.device)
        noisy = z + deviation[:, None, None, None, None] * noise
        return GamengenContext(noisy, act, self._network.bucket(deviation))

    def _teach(
        self,
        context: GamengenContext,
        pair: Tensor,
        generator: torch.Generator,
        parts: Parts,
    ) -> Tensor:
        """Judge predictions of pair[:, 1] at random levels; return the estimates."""
        level = self._random_levels(len(pair), generator)
        result = self._judge(self._dropped(context, generator), pair, pair[:, 1], level, generator)
        parts["level"].append(row_share(generator) * result.loss.mean())
        return result.clean

    def _dream(
        self,
        context: GamengenContext,
        pair: Tensor,
        generator: torch.Generator,
        parts: Parts,
    ) -> Tensor:
        """Judge what pure noise becomes in one step, and beside it some windows at random levels."""
        num_windows = len(pair)
        rows, num_rows = rows_of(num_windows, generator)
        num_beside = max(1, round(self._settings.level_share * num_rows))
        own = rows[rows < num_beside]
        # One pass for both. Context is never dropped from a dream that is to be fed back.
        beside = GamengenContext(*(value[: len(own)].detach() for value in context))
        with among(own, num_beside, generator):
            level = self._random_levels(len(own), generator)
            both = zip(context, self._dropped(beside, generator), strict=True)
        last = torch.full((num_windows,), self._num_levels - 1)
        with among(torch.cat([rows, num_rows + own]), num_rows + num_beside, generator):
            result = self._judge(
                GamengenContext(*(torch.cat(values) for values in both)),
                torch.cat([pair, pair[: len(own)]]),
                torch.cat([torch.zeros_like(pair[:, 1]), pair[: len(own), 1]]),
                torch.cat([last, level]),
                generator,
            )
        parts["dream"].append(row_share(generator) * result.loss[:num_windows].mean())
        parts["level"].append(result.loss[num_windows:].sum() / num_beside)
        return result.clean[:num_windows]

    def _random_levels(self, num_rows: int, generator: torch.Generator) -> Tensor:
        return (uniform((num_rows,), generator) * self._num_levels).long()

    def _dropped(self, context: GamengenContext, generator: torch.Generator) -> GamengenContext:
        """The context with all past frames of some rows zeroed."""
        drawn = uniform((len(context.z),), generator).to(context.z.device)
        drops, bare = drawn < self._settings.drop_share, without_frames(context)
        return GamengenContext(
            torch.where(drops[:, None, None, None, None], bare.z, context.z),
            context.act,
            torch.where(drops, bare.bucket, context.bucket),
        )

    def _judge(
        self,
        context: GamengenContext,
        pair: Tensor,
        hidden: Tensor,
        level: Tensor,
        generator: torch.Generator,
    ) -> Judged:
        """Squared error of v for pair[:, 1]; the network sees `hidden` under noise in its place."""
        before, clean = pair.unbind(dim=1)
        level = level.to(clean.device)
        noise = normal(clean.shape, generator).to(clean.device)
        x = add_noise(self._scheduler, hidden, noise, level).x
        target = add_noise(self._scheduler, clean, noise, level).velocity
        velocity = self._network(x, level, context)
        weight = weight_of_change(before, clean, self._settings.change_weight)
        loss = (weight * (velocity - target) ** 2).mean(dim=(1, 2, 3))
        return Judged(loss, clean_estimate(self._scheduler, x, velocity, level))

    def _end_loss(self, context: GamengenContext, made: Tensor, end: Tensor) -> Tensor:
        # Detached: the head reads the dream and must not bend it.
        plain = GamengenContext(context.z.detach(), context.act, context.bucket)
        logit = self._network.end_logit(plain, made.detach())
        return functional.binary_cross_entropy_with_logits(logit, end.to(logit.dtype))
