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
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from worldgen_core.models.card import fill
from worldgen_core.models.chance import ChancePrior
from worldgen_core.progress import Progress
from worldgen_core.rows import normal, row_share, split_rows
from worldgen_core.seeds import derive_seed
from worldgen_core.threads import cpu_threads
from worldgen_core.training.loop import run_training
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
