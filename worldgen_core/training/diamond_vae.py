"""Stage train_model of `diamond-vae` and `diamond-ae`: from latents to a model with its autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from storage.clips import ClipReader
from storage.records import DatasetInfo
from worldgen_core.device import choose_device
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.card import WEIGHTS_FILE, count_parameters
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
from worldgen_core.training.chance_loss import chance_of_game
from worldgen_core.training.curriculum import run_curriculum
from worldgen_core.training.diamond_vae_objective import DiamondVaeObjective
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.diffusion_chance import fit_chance
from worldgen_core.training.finish import write_model
from worldgen_core.training.latent_windows import LatentBatch, continue_from, latent_batches
from worldgen_core.training.latents import check_frame_size, open_latents
from worldgen_core.training.launch import in_processes
from worldgen_core.training.loop import TrainingRun
from worldgen_core.training.phases import warm
from worldgen_core.training.reward_fit import add_reward_head


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
    curves.png; reward.safetensors where the dataset has rewards.
    Raises: ConfigError if the folders do not belong together; CheckpointError, DivergenceError, StorageError.
    """
    reader, space = ClipReader(dataset), load_latent_space(autoencoder)
    check_frame_size(space, reader.info.height, reader.info.width)
    latent_reader = open_latents(latents, space, reader)
    denoiser = _fresh_denoiser(settings, space, reader.info)
    if start is not None:
        settings = warm(settings)
        continue_from(start, settings.model, denoiser, space, autoencoder)
    denoiser.to(choose_device(settings.loop.device), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload

    def batches(of: DiamondVaeSettings) -> Callable[[int], LatentBatch]:
        return latent_batches(of, denoiser.num_context_frames, reader, latent_reader)

    def objective(drawn: Callable[[int], LatentBatch]) -> DiamondVaeObjective:
        return DiamondVaeObjective(denoiser, settings.loss, drawn, sigma_start=settings.sampler.sigma_max)

    run = run_curriculum(settings, batches(settings), objective, resume=resume, progress=progress)
    run = fit_chance(
        run,
        settings,
        denoiser,
        denoiser.chance,
        lambda short: objective(batches(short)),
        resume=resume,
        progress=progress,
    )
    outcome = _publish(settings, reader.info, denoiser, space, run, out)
    return add_reward_head(settings, reader, outcome, out=out, resume=resume, progress=progress)


def _fresh_denoiser(settings: DiamondVaeSettings, space: LatentSpace, info: DatasetInfo) -> LatentDenoiser:
    arch, assumptions = settings.architecture, get_facts(info.game).assumptions
    chance = chance_of_game(arch.chance, assumptions, space.network.factor)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        return LatentDenoiser(
            arch.model_copy(update={"chance": chance}),
            latent_shape=space.latent_shape,
            num_actions=len(info.action_names),
        )


def _publish(
    settings: DiamondVaeSettings,
    info: DatasetInfo,
    denoiser: LatentDenoiser,
    space: LatentSpace,
    run: TrainingRun,
    out: Path,
) -> Outcome:
    parameters, shared = count_parameters(denoiser), space.card.num_parameters
    shown = DiamondVaeCardSettings(denoiser=denoiser.settings, sampler=settings.sampler)
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
        curves=("loss", "dream", "level", "end"),
    )
