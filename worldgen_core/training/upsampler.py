"""Stage train_upsampler: from a dataset's full frames to the folder of an upsampler."""

from __future__ import annotations

from pathlib import Path

import torch

from storage.clips import ClipReader
from storage.records import DatasetInfo
from worldgen_core.device import choose_device
from worldgen_core.models.card import ModelCard, count_parameters, write_card, write_weights
from worldgen_core.models.upsampler import UPSAMPLER, UPSAMPLER_WEIGHTS_FILE, Upsampler
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.seeds import derive_seed
from worldgen_core.training.clip_batches import Prefetcher
from worldgen_core.training.curves import CURVES_FILE, write_curves, write_metrics
from worldgen_core.training.diamond_objective import DiamondObjective
from worldgen_core.training.diamond_settings import UpsamplerSettings
from worldgen_core.training.loop import TrainingRun, run_training
from worldgen_core.training.phases import phase_at
from worldgen_core.training.pixel_batches import upsampler_batches


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
    batches = Prefetcher(produce, settings.num_steps)
    try:
        run = run_training(
            DiamondObjective(denoiser, settings.loss, batches),
            settings.loop,
            seed=settings.seed,
            num_steps=settings.num_steps,
            num_frames_at=lambda train_step: phase_at(settings.phases, train_step).num_frames,
            resume=resume,
            progress=progress,
        )
    finally:
        batches.close()
    return _publish(settings, reader.info, upsampler, run, out)


def _publish(
    settings: UpsamplerSettings, info: DatasetInfo, upsampler: Upsampler, run: TrainingRun, out: Path
) -> Outcome:
    last = run.rows[-1] if run.rows else {}
    write_metrics(out, run.rows)
    if run.rows:
        write_curves(out, run.rows, names=("loss",), title=f"upsampler on {info.name}")
    parameters = count_parameters(upsampler.denoiser)
    card = ModelCard(
        model=UPSAMPLER,
        game=info.game,
        action_names=info.action_names,
        height=info.height,
        width=info.width,
        fps=info.fps,
        settings=settings.upsampler.model_dump(mode="json"),
        num_parameters=parameters,
        dataset={"name": info.name, "num_episodes": info.num_episodes, "num_frames": info.num_frames},
        training={"num_steps": settings.num_steps, "seed": settings.seed, **last},
        weights_sha256={
            UPSAMPLER_WEIGHTS_FILE: write_weights(out, run.weights, file_name=UPSAMPLER_WEIGHTS_FILE)
        },
    )
    write_card(out, card)
    low = "x".join(map(str, upsampler.low_size))
    return Outcome(
        metrics={"num_parameters": parameters["total"], **last},
        notes={"steps_per_s": run.steps_per_s},
        headline=f"{low} to {info.height}x{info.width}, loss {last['loss']:.4f}"
        if last
        else "no step was logged",
        figures=(CURVES_FILE,) if run.rows else (),
    )
