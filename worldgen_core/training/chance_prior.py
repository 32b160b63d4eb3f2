"""Fits the prior of the chance on its own, once the network is done.

While the network trains, what it calls chance keeps changing, and the prior follows with a few dozen frames a
step. In the end it is a little wrong everywhere, and a dream that draws its own chance pays for that: a pipe
whose columns disagree is crooked. So the finished network dreams along recorded play, with chance taken from
the truth, and the prior learns what it will see at play: dreamt frames on one side, chance on the other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from worldgen_core.models.blocks import space_to_depth
from worldgen_core.models.direct_network import DirectNetwork
from worldgen_core.ranges import to_unit
from worldgen_core.rows import normal, row_share, split_rows
from worldgen_core.threads import cpu_threads
from worldgen_core.training.clip_batches import ClipSampler
from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings
from worldgen_core.training.precision import Precision


class PriorFitSettings(BaseModel):
    """How the prior is fitted at the end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_examples: int = Field(default=20_000, ge=1)
    """Dreamt frames to learn from."""
    unroll: int = Field(default=12, ge=1)
    """Frames dreamt in a row to get them."""
    num_windows: int = Field(default=64, ge=1)
    """Dreams side by side."""
    batch_size: int = Field(default=256, ge=1)
    """Examples a step."""
    num_steps: int = Field(default=4000, ge=0)
    """Optimizer steps; 0 means off: the prior stays as the common training left it."""
    rate: float = Field(default=2e-3, gt=0)
    """AdamW's peak learning rate."""
    weight_decay: float = Field(default=1e-3, ge=0)
    """Decoupled decay; there are more weights than independent examples."""

    def loop(self, settings: LoopSettings) -> LoopSettings:
        """The loop of this fit, on the device of the training before it."""
        optimizer = OptimizerSettings(rate=self.rate, weight_decay=self.weight_decay, muon_rate=0.0)
        changes = {
            "optimizer": optimizer,
            "precision": "float32",
            "ema_decay": 0.99,
            "log_every": 100,
            "accumulate": 1,
            "checkpoint_activations": False,
            "compile": False,
        }
        return settings.model_copy(update=changes)


class PriorExamples(NamedTuple):
    """What the prior sees, and the chance that the encoder found: mean and log standard deviation."""

    seen: Tensor
    """(n, features) float16, which halves the memory."""
    mean: Tensor
    log_std: Tensor


class PriorObjective:
    """Minus the log density of encoded chance, given dreamt frames."""

    def __init__(self, network: DirectNetwork, settings: PriorFitSettings, examples: PriorExamples) -> None:
        self.module: nn.Module = network.prior
        self.matrices: list[nn.Parameter] = []
        self._prior, self._settings, self._examples = network.prior, settings, examples

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG002  # drawn by the generator, which is seeded with the step
        """The loss of one batch, in nats a frame."""
        size = self._settings.batch_size
        drawn = torch.randint(len(self._examples.seen), (size,), generator=generator)
        rows = drawn[split_rows(size, generator)]
        seen, mean, log_std = (part[rows.to(part.device)] for part in self._examples)
        noise = normal(mean.shape, generator).to(mean.device)
        chance = mean + log_std.exp() * noise
        mean_loss = -self._prior.mixture(seen.float()).log_prob(chance).mean()
        return {"loss": row_share(generator) * mean_loss}


@torch.no_grad()
def collect_examples(
    network: DirectNetwork,
    sampler: ClipSampler,
    settings: PriorFitSettings,
    loop: LoopSettings,
    *,
    seed: int,
) -> PriorExamples:
    """Dream along recorded play and keep what the prior sees and what the encoder finds at every frame.

    It dreams on the threads and in the precision of `loop`. Frames after the end of a life do not count.
    Deterministic in seed, data, weights, threads and precision.
    """
    generator = torch.Generator().manual_seed(seed)
    device = network.background.device
    parts: list[PriorExamples] = []
    with cpu_threads(loop.num_threads), Precision(loop.precision, device).autocast():
        while sum(len(part.seen) for part in parts) < settings.num_examples:
            parts += _dream(network, sampler, settings, len(parts) // settings.unroll, generator)
    seen, mean, log_std = (torch.cat(column)[: settings.num_examples] for column in zip(*parts, strict=True))
    return PriorExamples(seen, mean, log_std)


def _dream(
    network: DirectNetwork,
    sampler: ClipSampler,
    settings: PriorFitSettings,
    index: int,
    generator: torch.Generator,
) -> list[PriorExamples]:
    """One batch of dreams with chance from the truth: a part for each dreamt frame."""
    batch = sampler.batch(index, unroll=settings.unroll, batch_size=settings.num_windows)
    device, first = network.background.device, network.arch.num_context_frames
    obs = to_unit(batch.obs.to(device)).permute(0, 1, 4, 2, 3)
    cells = [space_to_depth(obs[:, t], network.arch.block) - network.background for t in range(obs.shape[1])]
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
