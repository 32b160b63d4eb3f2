"""Trains the `direct` model on a dataset of clips and writes its model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from storage.clips import ClipReader
from worldgen_core.batch import ClipBatch, picture
from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.games.base import ModelAssumptions
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.blocks import space_to_depth
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
from worldgen_core.models.direct_network import DirectArchitecture, DirectNetwork
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.ranges import to_unit
from worldgen_core.seeds import derive_seed
from worldgen_core.training.chance_prior import PriorObjective, collect_examples
from worldgen_core.training.clip_batches import ClipSampler, Prefetcher
from worldgen_core.training.curves import CURVES_FILE, write_curves, write_metrics
from worldgen_core.training.direct_objective import DirectObjective
from worldgen_core.training.direct_settings import DirectSettings
from worldgen_core.training.loop import TrainingRun, run_training
from worldgen_core.training.phases import UnrollPhase, phase_at, warm
from worldgen_core.training.picture_statistics import median_background, sample_pairs, usual_scroll


def train_direct(
    settings: DirectSettings,
    dataset: Path,
    start: Path | None,
    *,
    out: Path,
    resume: Path,
    progress: Progress,
) -> Outcome:
    """Train on `dataset`, from fresh weights or on from the model folder `start`, and write `out`.

    Writes model.json, model.safetensors (averaged weights), metrics.jsonl and curves.png.
    Raises: ConfigError if `start` is a model of another kind or size; CheckpointError, DivergenceError.
    """
    reader = ClipReader(dataset)
    assumptions = get_facts(reader.info.game).assumptions
    network = _fresh_network(settings, reader, assumptions)
    if start is not None:
        settings = warm(settings)
        _continue_from(start, network)
    network.to(choose_device(settings.loop.device))
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in torch's stubs
    sampler = ClipSampler(
        reader,
        num_context=network.arch.num_context_frames,
        oversample=assumptions.oversample,
        seed=settings.seed,
        beyond_ends=True,
    )
    batches = Prefetcher(_batch_of(sampler, settings.phases), settings.num_steps)
    try:
        run = run_training(
            DirectObjective(network, settings.loss, batches),
            settings.loop,
            seed=settings.seed,
            num_steps=settings.num_steps,
            num_frames_at=lambda train_step: phase_at(settings.phases, train_step).num_frames,
            resume=resume,
            progress=progress,
        )
    finally:
        batches.close()
    fill(network, run.weights, source="the training just finished")
    if settings.prior.num_steps:
        _fit_prior(settings, network, sampler, resume / "prior", progress)
    return _publish(settings, reader, network, run, out)


def _fresh_network(
    settings: DirectSettings, reader: ClipReader, assumptions: ModelAssumptions
) -> DirectNetwork:
    """An untrained network for this dataset, with background and scroll measured on its training frames."""
    info, arch = reader.info, settings.architecture
    pairs = sample_pairs(reader, seed=settings.seed)
    background = median_background(pairs) if assumptions.has_static_background else None
    if assumptions.new_content == "right":
        arch = arch.with_new_content_right(assumptions.new_content_columns)
    arch = arch.model_copy(update={"scroll": usual_scroll(pairs, background)})
    _check_size(arch, info.height, info.width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        network = DirectNetwork(
            arch, num_actions=len(info.action_names), height=info.height, width=info.width
        )
    if background is not None:
        network.background.copy_(space_to_depth(to_unit(picture(background)), arch.block)[0])
    return network


def _fit_prior(
    settings: DirectSettings, network: DirectNetwork, sampler: ClipSampler, resume: Path, progress: Progress
) -> None:
    """Fit the finished network's prior to its own dreams, in place."""
    seed, fit = derive_seed(settings.seed, "prior"), settings.prior
    network.eval()
    examples = collect_examples(network, sampler, fit, settings.loop, seed=seed)
    run = run_training(
        PriorObjective(network, fit, examples),
        fit.loop(settings.loop),
        seed=seed,
        num_steps=fit.num_steps,
        num_frames_at=lambda _: fit.batch_size,
        resume=resume,
        progress=progress,
        label="examples of chance",
    )
    fill(network.prior, run.weights, source="the prior's fit")


def _check_size(arch: DirectArchitecture, height: int, width: int) -> None:
    multiple = 2 * arch.block
    if height % multiple or width % multiple:
        raise ConfigError(
            "frame size",
            expected=f"height and width that are multiples of {multiple}",
            found=f"{height} x {width}",
            next_step="record the game at another size, or change `architecture.block`",
        )


def _continue_from(start: Path, network: DirectNetwork) -> None:
    """Take over the weights of a finished model; what it measured on its own data stays with it."""
    card = read_card(start)
    if card.model != "direct":
        raise ConfigError(
            f"{start}: model to train on from",
            expected="a direct model",
            found=card.model,
            next_step="name another start, or none",
        )
    fill(network, read_weights(start, card), source=str(start))


def _batch_of(sampler: ClipSampler, phases: Sequence[UnrollPhase]) -> Callable[[int], ClipBatch]:
    def batch(train_step: int) -> ClipBatch:
        phase = phase_at(phases, train_step)
        return sampler.batch(train_step, unroll=phase.unroll, batch_size=phase.batch_size)

    return batch


def _publish(
    settings: DirectSettings, reader: ClipReader, network: DirectNetwork, run: TrainingRun, out: Path
) -> Outcome:
    info, last = reader.info, run.rows[-1] if run.rows else {}
    write_metrics(out, run.rows)
    if run.rows:
        write_curves(out, run.rows, names=("loss", "picture", "end"), title=f"direct on {info.name}")
    parameters = count_parameters(network)
    card = ModelCard(
        model="direct",
        game=info.game,
        action_names=info.action_names,
        height=info.height,
        width=info.width,
        fps=info.fps,
        settings=network.arch.model_dump(mode="json"),
        num_parameters=parameters,
        dataset={"name": info.name, "num_episodes": info.num_episodes, "num_frames": info.num_frames},
        training={"num_steps": settings.num_steps, "seed": settings.seed, **last},
        weights_sha256={WEIGHTS_FILE: write_weights(out, network.state_dict())},
    )
    write_card(out, card)
    return Outcome(
        metrics={"num_parameters": parameters["total"], **last},
        notes={"steps_per_s": run.steps_per_s},
        headline=f"loss {last['loss']:.4f} after {settings.num_steps} steps"
        if last
        else "no step was logged",
        figures=(CURVES_FILE,) if run.rows else (),
    )
