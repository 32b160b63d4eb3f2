"""The dreams of the `direct` model to which the prior of its chance is fitted."""

from __future__ import annotations

import torch

from worldgen_core.models.blocks import space_to_depth
from worldgen_core.models.direct_network import DirectNetwork
from worldgen_core.ranges import to_unit
from worldgen_core.training.chance_prior import Dreams, PriorExamples
from worldgen_core.training.clip_batches import ClipSampler
from worldgen_core.training.prior_settings import PriorFitSettings


def direct_dreams(network: DirectNetwork, sampler: ClipSampler, settings: PriorFitSettings) -> Dreams:
    """Return dreams of a finished network along the sampler's clips, with chance from the truth.

    Frames after the end of a life do not count.
    """

    def dream(index: int, generator: torch.Generator) -> list[PriorExamples]:
        batch = sampler.batch(index, unroll=settings.unroll, batch_size=settings.num_windows)
        device, first = network.background.device, network.arch.num_context_frames
        obs = to_unit(batch.obs.to(device)).permute(0, 1, 4, 2, 3)
        cells = [
            space_to_depth(obs[:, t], network.arch.block) - network.background for t in range(obs.shape[1])
        ]
        act, mask = batch.act.to(device), batch.mask.to(device)
        context, memory = cells[:first], network.start_memory(len(obs))
        parts: list[PriorExamples] = []
        for t in range(first, len(cells)):
            mean, log_std = network.encoder(context[-1], cells[t])
            seen, is_real = network.prior.seen(context[-1]).half(), mask[:, t]
            parts.append(PriorExamples(seen[is_real], mean[is_real].float(), log_std[is_real].float()))
            noise = torch.randn(mean.shape, generator=generator).to(device)
            out = network(context, act[:, t - first : t], mean + log_std.exp() * noise, memory)
            context, memory = [*context[1:], out.cells], out.memory
        return parts

    return dream
