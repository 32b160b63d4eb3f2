"""Fits the prior of the chance on its own, once the network is done.

While the network trains, what it calls chance keeps changing, and the prior follows with a few dozen frames a
step. In the end it is a little wrong everywhere, and a dream that draws its own chance pays for that: a pipe
whose columns disagree is crooked. So the finished network dreams along recorded play, with chance taken from
the truth, and the prior learns what it will see at play: dreamt frames on one side, chance on the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worldgen_core.models.card import fill
from worldgen_core.models.chance import ChancePrior
from worldgen_core.progress import Progress
from worldgen_core.rows import normal, row_share, split_rows
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads
from worldgen_core.training.loop import run_training
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.precision import Precision
from worldgen_core.training.prior_settings import PriorFitSettings


class PriorExamples(NamedTuple):
    """What the prior sees, and the chance that the encoder found: mean and log standard deviation."""

    seen: Tensor
    """(n, features) float16, which halves the memory."""
    mean: Tensor
    log_std: Tensor


Dreams = Callable[[int, torch.Generator], list[PriorExamples]]
"""Dreams one batch of recorded play, named by its number: the examples of each dreamt frame."""


def fit_prior(
    prior: ChancePrior,
    dreams: Dreams,
    settings: PriorFitSettings,
    loop: LoopSettings,
    *,
    seed: int,
    resume: Path,
    progress: Progress,
) -> None:
    """Fit the prior of a finished network, in place, to what `dreams` of that network show.

    `loop` and `seed` are those of the training before it. Raises: as `run_training`.
    """
    seed = derive_seed(seed, "prior")
    device = next(prior.parameters()).device
    examples = collect_examples(dreams, settings, loop, device=device, seed=seed)
    run = run_training(
        PriorObjective(prior, settings, examples),
        settings.loop(loop),
        seed=seed,
        num_steps=settings.num_steps,
        num_frames_at=lambda _: settings.batch_size,
        resume=resume,
        progress=progress,
        label="examples of chance",
    )
    fill(prior, run.weights, source="the prior's fit")


class PriorObjective:
    """Minus the log density of encoded chance, given dreamt frames."""

    def __init__(self, prior: ChancePrior, settings: PriorFitSettings, examples: PriorExamples) -> None:
        self.module: nn.Module = prior
        self.matrices: list[nn.Parameter] = []
        self._prior, self._settings, self._examples = prior, settings, examples

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
    dreams: Dreams, settings: PriorFitSettings, loop: LoopSettings, *, device: torch.device, seed: int
) -> PriorExamples:
    """Dream along recorded play and keep what the prior sees and what the encoder finds at every frame.

    It dreams on the threads and in the precision of `loop`. Deterministic in seed, data, weights, threads and
    precision.
    """
    generator = torch.Generator().manual_seed(seed)
    parts: list[PriorExamples] = []
    index = 0
    with cpu_threads(loop.num_threads), Precision(loop.precision, device).autocast():
        while sum(len(part.seen) for part in parts) < settings.num_examples:
            parts += dreams(index, generator)
            index += 1
    seen, mean, log_std = (torch.cat(column)[: settings.num_examples] for column in zip(*parts, strict=True))
    return PriorExamples(seen, mean, log_std)
