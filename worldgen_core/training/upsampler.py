"""Stage train_upsampler: from a dataset's full frames to the folder of an upsampler."""

from __future__ import annotations

from pathlib import Path

import torch

from storage.clips import ClipReader
from worldgen_core.device import choose_device
from worldgen_core.models.card import count_parameters
from worldgen_core.models.upsampler import UPSAMPLER, UPSAMPLER_WEIGHTS_FILE, Upsampler
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.seeds import derive_seed
from worldgen_core.training.curriculum import run_curriculum
from worldgen_core.training.diamond_objective import DiamondObjective
from worldgen_core.training.diamond_settings import UpsamplerSettings
from worldgen_core.training.finish import write_model
from worldgen_core.training.launch import in_processes
from worldgen_core.training.pixel_batches import upsampler_batches


@in_processes
def train_upsampler(
    settings: UpsamplerSettings, dataset: Path, *, out: Path, resume: Path, progress: Progress
) -> Outcome:
    """Train on `dataset` and write what `models.upsampler` reads into `out`, with metrics and curves.

    Raises: CheckpointError, DivergenceError, StorageError.
    """
    reader = ClipReader(dataset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        upsampler = Upsampler(settings.upsampler, height=reader.info.height, width=reader.info.width)
    denoiser = upsampler.denoiser
    denoiser.to(choose_device(settings.loop.device), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload
    produce = upsampler_batches(
        reader,
        settings.phases,
        num_context=denoiser.num_context_frames,
        seed=settings.seed,
        low_size=upsampler.low_size,
    )
    run = run_curriculum(
        settings,
        produce,
        lambda batches: DiamondObjective(
            denoiser,
            settings.loss,
            batches,
            sigma_start=settings.upsampler.stage.sampler.sigma_max,
        ),
        resume=resume,
        progress=progress,
    )
    low = "x".join(map(str, upsampler.low_size))
    return write_model(
        out,
        model=UPSAMPLER,
        info=reader.info,
        settings=settings.upsampler.model_dump(mode="json"),
        num_parameters=count_parameters(denoiser),
        weights={UPSAMPLER_WEIGHTS_FILE: run.weights},
        run=run,
        num_steps=settings.num_steps,
        seed=settings.seed,
        curves=("loss",),
        result=f"{low} to {reader.info.height}x{reader.info.width}",
    )
