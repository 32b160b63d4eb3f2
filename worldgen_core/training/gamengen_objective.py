"""What GameNGen's network minimises: the error of v at random levels of noise, and the termination head's.

A window predicts `unroll` frames. As published, each from true past frames under noise; or each dreamt from
noise alone and fed back (training/dreaming.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from worldgen_core.diffusion.ddim import add_noise, clean_estimate, make_scheduler
from worldgen_core.diffusion.losses import Judged, weight_of_change
from worldgen_core.models.end_head import end_loss
from worldgen_core.models.gamengen_network import (
    GamengenContext,
    GamengenNetwork,
    inner_convolutions,
    without_frames,
)
from worldgen_core.rows import normal, row_share, take_part, uniform
from worldgen_core.training.chance_loss import tell_guides
from worldgen_core.training.dreaming import Dreamer, new_parts, total
from worldgen_core.training.gamengen_settings import GamengenLossSettings
from worldgen_core.training.latent_windows import LatentBatch


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
        # Context is never dropped from a dream that is to be fed back.
        self._dreamer = Dreamer(
            self._judge,
            self._random_levels,
            self._num_levels - 1,
            share=settings.level_share,
            beside=self._dropped,
        )

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Predict this step's windows and return the loss and its parts."""
        device = next(self._network.parameters()).device
        own = take_part(self._batches(train_step), generator)
        batch = LatentBatch(*(part.to(device) for part in own))
        num_context, length = self._network.num_context_frames, batch.z.shape[1]
        window = list(batch.z[:, :num_context].unbind(dim=1))
        parts, dreams = new_parts(), self._settings.dreams
        for t in range(num_context, length):
            guides = tell_guides(self._network.chance, window[-1], batch.z[:, t], generator, parts)
            act = batch.act[:, t - num_context : t]
            context = self._context(torch.stack(window, dim=1), act, guides, generator)
            pair = batch.z[:, t - 1 : t + 1]
            make = self._dreamer.one_frame if dreams else self._dreamer.noisy_frame
            made = make(context, pair, generator, parts)
            parts["end"].append(row_share(generator) * self._end_loss(context, made, batch.end[:, t]))
            window = [*window[1:], made if dreams else batch.z[:, t]]
        return total(parts, self._settings.weights)

    def _context(self, z: Tensor, act: Tensor, guides: Tensor, generator: torch.Generator) -> GamengenContext:
        """The context under noise, whose deviation is drawn per window and told by its bucket."""
        drawn = uniform((len(z),), generator).to(z.device)
        deviation = drawn * self._network.settings.max_context_noise
        noise = normal(z.shape, generator).to(z.device)
        noisy = z + deviation[:, None, None, None, None] * noise
        return GamengenContext(noisy, act, self._network.bucket(deviation), guides)

    def _random_levels(self, num_rows: int, generator: torch.Generator) -> Tensor:
        return (uniform((num_rows,), generator) * self._num_levels).long()

    def _dropped(self, context: GamengenContext, generator: torch.Generator) -> GamengenContext:
        """The context with all past frames of some rows zeroed."""
        drawn = uniform((len(context.z),), generator).to(context.z.device)
        drops, bare = drawn < self._settings.drop_share, without_frames(context)
        return context._replace(
            z=torch.where(drops[:, None, None, None, None], bare.z, context.z),
            bucket=torch.where(drops, bare.bucket, context.bucket),
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
        logit = self._network.end_logit(context, made)
        return end_loss(logit, end, self._settings.death_weight).mean()
