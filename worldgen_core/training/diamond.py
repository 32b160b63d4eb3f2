"""Stage train_model of `diamond` and `diamond-small`: the denoiser, published together with its upsampler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from storage.clips import ClipReader
from storage.records import DatasetInfo
from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.card import (
    WEIGHTS_FILE,
    count_parameters,
)
from worldgen_core.models.pixel_denoiser import PixelDenoiser
from worldgen_core.models.upsampler import (
    UPSAMPLER_WEIGHTS_FILE,
    DiamondCardSettings,
    Upsampler,
    load_upsampler,
)
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.seeds import derive_seed
from worldgen_core.training.chance_loss import chance_of_game
from worldgen_core.training.curriculum import run_curriculum
from worldgen_core.training.diamond_objective import DiamondObjective, PixelBatch
from worldgen_core.training.diamond_settings import DiamondSettings
from worldgen_core.training.diffusion_chance import fit_chance
from worldgen_core.training.finish import write_model
from worldgen_core.training.launch import in_processes
from worldgen_core.training.loop import TrainingRun
from worldgen_core.training.phases import warm
from worldgen_core.training.pixel_batches import low_batches
from worldgen_core.training.reward_fit import add_reward_head
from worldgen_core.training.starting import take_over


@in_processes
def train_diamond(
    settings: DiamondSettings,
    dataset: Path,
    upsampler: Path,
    start: Path | None,
    *,
    out: Path,
    resume: Path,
    progress: Progress,
) -> Outcome:
    """Train the denoiser on `dataset`, from fresh weights or on from the model folder `start`, into `out`.

    `upsampler` is the folder of the upsampler that will enlarge its frames; it says what low resolution is.
    Writes model.json, model.safetensors (averaged weights), upsampler.safetensors, metrics and curves;
    reward.safetensors where the dataset has rewards.
    Raises: ConfigError if the folders do not belong together; CheckpointError, DivergenceError, StorageError.
    """
    reader, enlarger = ClipReader(dataset), load_upsampler(upsampler)
    _check_frame_size(enlarger, reader.info)
    denoiser = _fresh_denoiser(settings, enlarger, reader.info)
    if start is not None:
        settings = warm(settings)
        take_over(start, settings.model, denoiser)
    denoiser.to(choose_device(settings.loop.device), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload

    def batches(of: DiamondSettings) -> Callable[[int], PixelBatch]:
        return low_batches(
            reader,
            of.phases,
            num_context=denoiser.num_context_frames,
            seed=of.seed,
            low_size=enlarger.low_size,
        )

    def objective(drawn: Callable[[int], PixelBatch]) -> DiamondObjective:
        return DiamondObjective(denoiser, settings.loss, drawn, sigma_start=settings.stage.sampler.sigma_max)

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
    outcome = _publish(settings, reader.info, denoiser, enlarger, run, out)
    return add_reward_head(settings, reader, outcome, out=out, resume=resume, progress=progress)


def _fresh_denoiser(settings: DiamondSettings, enlarger: Upsampler, info: DatasetInfo) -> PixelDenoiser:
    own, assumptions = settings.stage.denoiser, get_facts(info.game).assumptions
    chance = chance_of_game(own.chance, assumptions, enlarger.settings.factor)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        return PixelDenoiser(
            own.model_copy(update={"chance": chance}),
            num_actions=len(info.action_names),
            size=enlarger.low_size,
        )


def _check_frame_size(upsampler: Upsampler, info: DatasetInfo) -> None:
    if upsampler.full_size != (info.height, info.width):
        raise ConfigError(
            "upsampler: frame size",
            expected=f"{info.height} x {info.width}, as in the dataset",
            found=f"{upsampler.full_size[0]} x {upsampler.full_size[1]}",
            next_step="train it on this dataset: `worldgen build GAME --force train_upsampler`",
        )


def _publish(
    settings: DiamondSettings,
    info: DatasetInfo,
    denoiser: PixelDenoiser,
    upsampler: Upsampler,
    run: TrainingRun,
    out: Path,
) -> Outcome:
    own, other = count_parameters(denoiser), count_parameters(upsampler.denoiser)
    stage = settings.stage.model_copy(update={"denoiser": denoiser.settings})
    shown = DiamondCardSettings(stage=stage, upsampler=upsampler.settings)
    return write_model(
        out,
        model=settings.model,
        info=info,
        settings=shown.model_dump(mode="json"),
        num_parameters={**own, "upsampler": other["total"], "total": own["total"] + other["total"]},
        weights={
            WEIGHTS_FILE: run.weights,
            UPSAMPLER_WEIGHTS_FILE: upsampler.denoiser.state_dict(),
        },
        run=run,
        num_steps=settings.num_steps,
        seed=settings.seed,
        curves=("loss", "dream", "level", "end"),
    )
