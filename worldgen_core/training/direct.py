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
    count_parameters,
    fill,
)
from worldgen_core.models.direct_network import DirectArchitecture, DirectNetwork
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.ranges import to_unit
from worldgen_core.seeds import derive_seed
from worldgen_core.training.chance_prior import fit_prior
from worldgen_core.training.clip_batches import ClipSampler
from worldgen_core.training.curriculum import run_curriculum
from worldgen_core.training.direct_chance import direct_dreams
from worldgen_core.training.direct_objective import DirectObjective
from worldgen_core.training.direct_settings import DirectSettings
from worldgen_core.training.finish import write_model
from worldgen_core.training.launch import in_processes
from worldgen_core.training.phases import UnrollPhase, phase_at, warm
from worldgen_core.training.picture_statistics import median_background, sample_pairs, usual_scroll
from worldgen_core.training.reward_fit import add_reward_head
from worldgen_core.training.starting import take_over


@in_processes
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

    Writes model.json, model.safetensors (averaged weights), metrics.jsonl and curves.png; reward.safetensors
    where the dataset has rewards.
    Raises: ConfigError if `start` is a model of another kind or size; CheckpointError, DivergenceError.
    """
    reader = ClipReader(dataset)
    assumptions = get_facts(reader.info.game).assumptions
    network = _fresh_network(settings, reader, assumptions)
    if start is not None:
        settings = warm(settings)
        # What it measured on its own data, background and scroll, stays with it.
        take_over(start, "direct", network)
    network.to(choose_device(settings.loop.device))
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in torch's stubs
    sampler = ClipSampler(
        reader,
        num_context=network.arch.num_context_frames,
        oversample=assumptions.oversample,
        seed=settings.seed,
        beyond_ends=True,
    )
    run = run_curriculum(
        settings,
        _batch_of(sampler, settings.phases),
        lambda batches: DirectObjective(network, settings.loss, batches),
        resume=resume,
        progress=progress,
    )
    fill(network, run.weights, source="the training just finished")
    if settings.prior.num_steps:
        network.eval()
        fit_prior(
            network.prior,
            direct_dreams(network, sampler, settings.prior),
            settings.prior,
            settings.loop,
            seed=settings.seed,
            resume=resume / "prior",
            progress=progress,
        )
    outcome = write_model(
        out,
        model="direct",
        info=reader.info,
        settings=network.arch.model_dump(mode="json"),
        num_parameters=count_parameters(network),
        weights={WEIGHTS_FILE: network.state_dict()},
        run=run,
        num_steps=settings.num_steps,
        seed=settings.seed,
        curves=("loss", "picture", "end"),
    )
    return add_reward_head(settings, reader, outcome, out=out, resume=resume, progress=progress)


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


def _check_size(arch: DirectArchitecture, height: int, width: int) -> None:
    multiple = 2 * arch.block
    if height % multiple or width % multiple:
        raise ConfigError(
            "frame size",
            expected=f"height and width that are multiples of {multiple}",
            found=f"{height} x {width}",
            next_step="record the game at another size, or change `architecture.block`",
        )


def _batch_of(sampler: ClipSampler, phases: Sequence[UnrollPhase]) -> Callable[[int], ClipBatch]:
    def batch(train_step: int) -> ClipBatch:
        phase = phase_at(phases, train_step)
        return sampler.batch(train_step, unroll=phase.unroll, batch_size=phase.batch_size)

    return batch
