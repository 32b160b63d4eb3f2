"""Stage train_model of `diamond-vae` and `diamond-ae`: from latents to a model with its autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from storage.clips import ClipReader
from storage.latents import LatentReader
from storage.records import DatasetInfo
from worldgen_core.batch import array_to_tensor
from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.card import (
    WEIGHTS_FILE,
    count_parameters,
    fill,
    read_weights,
)
from worldgen_core.models.diamond_vae import DiamondVaeCardSettings
from worldgen_core.models.latent_denoiser import LatentDenoiser
from worldgen_core.models.latent_space import (
    AUTOENCODER_WEIGHTS_FILE,
    LatentSpace,
    load_latent_space,
    save_latent_space,
)
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.seeds import derive_seed
from worldgen_core.training.clip_batches import ClipSampler
from worldgen_core.training.curriculum import run_curriculum
from worldgen_core.training.diamond_vae_objective import DiamondVaeObjective, LatentBatch
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.finish import write_model
from worldgen_core.training.latents import check_frame_size, open_latents
from worldgen_core.training.launch import in_processes
from worldgen_core.training.loop import TrainingRun
from worldgen_core.training.phases import phase_at, warm
from worldgen_core.training.starting import read_start


@in_processes
def train_diamond_vae(
    settings: DiamondVaeSettings,
    dataset: Path,
    latents: Path,
    autoencoder: Path,
    start: Path | None,
    *,
    out: Path,
    resume: Path,
    progress: Progress,
) -> Outcome:
    """Train on the latents of `dataset`, from fresh weights or on from the model folder `start`, into `out`.

    Writes model.json, model.safetensors (averaged weights), the autoencoder's two files, metrics.jsonl and
    curves.png.
    Raises: ConfigError if the folders do not belong together; CheckpointError, DivergenceError, StorageError.
    """
    reader, space = ClipReader(dataset), load_latent_space(autoencoder)
    check_frame_size(space, reader.info.height, reader.info.width)
    latent_reader = open_latents(latents, space, reader)
    denoiser = _fresh_denoiser(settings, space, reader.info)
    if start is not None:
        settings = warm(settings)
        _continue_from(start, settings.model, denoiser, space, autoencoder)
    denoiser.to(choose_device(settings.loop.device), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload
    sigma_start = settings.sampler.sigma_max
    run = run_curriculum(
        settings,
        latent_batches(settings, reader, latent_reader),
        lambda batches: DiamondVaeObjective(denoiser, settings.loss, batches, sigma_start=sigma_start),
        resume=resume,
        progress=progress,
    )
    return _publish(settings, reader.info, denoiser, space, run, out)


def latent_batches(
    settings: DiamondVaeSettings, reader: ClipReader, latents: LatentReader
) -> Callable[[int], LatentBatch]:
    """Return the batch of a training step: windows as the dataset has them, pictures as latents."""
    num_context = settings.architecture.unet.num_context_frames
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


def _fresh_denoiser(settings: DiamondVaeSettings, space: LatentSpace, info: DatasetInfo) -> LatentDenoiser:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        return LatentDenoiser(
            settings.architecture, latent_shape=space.latent_shape, num_actions=len(info.action_names)
        )


def _continue_from(
    start: Path, model: str, denoiser: LatentDenoiser, space: LatentSpace, autoencoder: Path
) -> None:
    """Take over the weights of a finished model, whose latents must be the same."""
    card = read_start(start, model)
    own, other = load_latent_space(start), space
    if own.card.statistics != other.card.statistics:
        raise ConfigError(
            f"{autoencoder}: autoencoder",
            expected=f"the one in {start}: its latents are all that the model knows",
            found="another one",
            next_step=f"encode the dataset with {start} (a model folder is an autoencoder's folder too)",
        )
    fill(denoiser, read_weights(start, card), source=str(start))


def _publish(
    settings: DiamondVaeSettings,
    info: DatasetInfo,
    denoiser: LatentDenoiser,
    space: LatentSpace,
    run: TrainingRun,
    out: Path,
) -> Outcome:
    parameters, shared = count_parameters(denoiser), space.card.num_parameters
    shown = DiamondVaeCardSettings(denoiser=settings.architecture, sampler=settings.sampler)
    return write_model(
        out,
        model=settings.model,
        info=info,
        settings=shown.model_dump(mode="json"),
        num_parameters={
            **parameters,
            **{f"autoencoder_{name}": count for name, count in shared.items()},
            "total": parameters["total"] + shared["total"],
        },
        weights={WEIGHTS_FILE: run.weights},
        digests={AUTOENCODER_WEIGHTS_FILE: save_latent_space(space, out)},
        run=run,
        num_steps=settings.num_steps,
        seed=settings.seed,
        curves=("loss", "dream", "edm", "end"),
    )
