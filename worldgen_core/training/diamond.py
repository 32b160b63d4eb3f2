"""Stage train_model of `diamond` and `diamond-small`: the denoiser, published together with its upsampler."""

from __future__ import annotations

from pathlib import Path

import torch

from storage.clips import ClipReader
from storage.records import DatasetInfo
from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.models.card import (
    WEIGHTS_FILE,
    ModelCard,
    count_parameters,
    fill,
    read_card,
    read_weights,
    write_card,
    write_weights,
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
from worldgen_core.training.clip_batches import Prefetcher
from worldgen_core.training.curves import CURVES_FILE, write_curves, write_metrics
from worldgen_core.training.diamond_objective import DiamondObjective
from worldgen_core.training.diamond_settings import DiamondSettings
from worldgen_core.training.loop import TrainingRun, run_training
from worldgen_core.training.phases import phase_at, warm
from worldgen_core.training.pixel_batches import low_batches


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
    Writes model.json, model.safetensors (averaged weights), upsampler.safetensors, metrics and curves.
    Raises: ConfigError if the folders do not belong together; CheckpointError, DivergenceError, StorageError.
    """
    reader, enlarger = ClipReader(dataset), load_upsampler(upsampler)
    _check_frame_size(enlarger, reader.info)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        denoiser = PixelDenoiser(settings.stage.denoiser, num_actions=len(reader.info.action_names))
    if start is not None:
        settings = warm(settings)
        _continue_from(start, settings.model, denoiser)
    denoiser.to(choose_device(settings.loop.device), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing overload
    produce = low_batches(
        reader,
        settings.phases,
        num_context=denoiser.num_context_frames,
        seed=settings.seed,
        low_size=enlarger.low_size,
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
    return _publish(settings, reader.info, denoiser, enlarger, run, out)


def _check_frame_size(upsampler: Upsampler, info: DatasetInfo) -> None:
    if upsampler.full_size != (info.height, info.width):
        raise ConfigError(
            "upsampler: frame size",
            expected=f"{info.height} x {info.width}, as in the dataset",
            found=f"{upsampler.full_size[0]} x {upsampler.full_size[1]}",
            next_step="train it on this dataset: `worldgen build GAME --force train_upsampler`",
        )


def _continue_from(start: Path, model: str, denoiser: PixelDenoiser) -> None:
    """Take over the weights of a finished model of the same kind."""
    card = read_card(start)
    if card.model != model:
        raise ConfigError(
            f"{start}: model to train on from",
            expected=f"a {model} model",
            found=card.model,
            next_step="name another start, or none",
        )
    fill(denoiser, read_weights(start, card), source=str(start))


def _publish(
    settings: DiamondSettings,
    info: DatasetInfo,
    denoiser: PixelDenoiser,
    upsampler: Upsampler,
    run: TrainingRun,
    out: Path,
) -> Outcome:
    last = run.rows[-1] if run.rows else {}
    write_metrics(out, run.rows)
    if run.rows:
        names = [name for name in ("loss", "edm", "end") if name in run.rows[0]]
        write_curves(out, run.rows, names=names, title=f"{settings.model} on {info.name}")
    own, other = count_parameters(denoiser), count_parameters(upsampler.denoiser)
    shown = DiamondCardSettings(stage=settings.stage, upsampler=upsampler.settings)
    card = ModelCard(
        model=settings.model,
        game=info.game,
        action_names=info.action_names,
        height=info.height,
        width=info.width,
        fps=info.fps,
        settings=shown.model_dump(mode="json"),
        num_parameters={**own, "upsampler": other["total"], "total": own["total"] + other["total"]},
        dataset={"name": info.name, "num_episodes": info.num_episodes, "num_frames": info.num_frames},
        training={"num_steps": settings.num_steps, "seed": settings.seed, **last},
        weights_sha256={
            WEIGHTS_FILE: write_weights(out, run.weights),
            UPSAMPLER_WEIGHTS_FILE: write_weights(
                out, upsampler.denoiser.state_dict(), file_name=UPSAMPLER_WEIGHTS_FILE
            ),
        },
    )
    write_card(out, card)
    return Outcome(
        metrics={"num_parameters": card.num_parameters["total"], **last},
        notes={"steps_per_s": run.steps_per_s},
        headline=f"loss {last['loss']:.4f} after {settings.num_steps} steps"
        if last
        else "no step was logged",
        figures=(CURVES_FILE,) if run.rows else (),
    )
