"""What trainings over latents share: their windows, whose latents they are, and going on from a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from storage.clips import ClipReader
from storage.latents import LatentReader
from worldgen_core.batch import array_to_tensor
from worldgen_core.errors import ConfigError
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.card import fill, read_weights
from worldgen_core.models.latent_space import LatentSpace, load_latent_space
from worldgen_core.training.clip_batches import ClipSampler
from worldgen_core.training.phases import CurriculumSettings, phase_at
from worldgen_core.training.starting import read_start


class LatentBatch(NamedTuple):
    """Windows of latents; `act[:, i]` leads from `z[:, i]` to `z[:, i + 1]`, `end` marks ends of lives."""

    z: Float32[Tensor, "b t c h w"]
    act: Int64[Tensor, "b t"]
    end: Bool[Tensor, "b t"]


def latent_batches(
    settings: CurriculumSettings, num_context: int, reader: ClipReader, latents: LatentReader
) -> Callable[[int], LatentBatch]:
    """Return the batch of a training step: windows as the dataset has them, pictures as latents.

    A window is `num_context` frames and what its phase unrolls, and never crosses the end of a life.
    """
    sampler = ClipSampler(
        reader,
        num_context=num_context,
        oversample=get_facts(settings.game).assumptions.oversample,
        seed=settings.seed,
    )

    def batch(train_step: int) -> LatentBatch:
        phase = phase_at(settings.phases, train_step)
        length = num_context + phase.unroll
        windows = sampler.windows(train_step, unroll=phase.unroll, batch_size=phase.batch_size)
        steps = [reader.steps(episode_id) for episode_id, _ in windows]
        parts = list(zip(windows, steps, strict=True))
        return LatentBatch(
            z=array_to_tensor(np.stack([latents.read(name, first, length) for name, first in windows])),
            act=array_to_tensor(
                np.stack([table.action[first : first + length] for (_, first), table in parts])
            ),
            end=array_to_tensor(
                np.stack([table.terminated[first : first + length] for (_, first), table in parts])
            ),
        )

    return batch


def continue_from(start: Path, model: str, network: nn.Module, space: LatentSpace, autoencoder: Path) -> None:
    """Take over the weights of a finished model, whose latents must be the same.

    Raises: ConfigError if it is another kind of model or has other latents; CheckpointError.
    """
    card = read_start(start, model)
    own, other = load_latent_space(start), space
    if own.card.statistics != other.card.statistics:
        raise ConfigError(
            f"{autoencoder}: autoencoder",
            expected=f"the one in {start}: its latents are all that the model knows",
            found="another one",
            next_step=f"encode the dataset with {start} (a model folder is an autoencoder's folder too)",
        )
    fill(network, read_weights(start, card), source=str(start))
