"""Where the prior of a diffusion model's chance is fitted: on the dreams that its objective judges."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from worldgen_core.models.card import fill
from worldgen_core.models.chance import ChanceGuide
from worldgen_core.progress import Progress
from worldgen_core.training.chance_prior import Dreams, PriorExamples, fit_prior
from worldgen_core.training.loop import Objective, TrainingRun
from worldgen_core.training.phases import make_phases
from worldgen_core.training.prior_settings import ChanceCurriculum

S = TypeVar("S", bound=ChanceCurriculum)


def fit_chance(
    run: TrainingRun,
    settings: S,
    network: nn.Module,
    chance: ChanceGuide | None,
    objective_of: Callable[[S], Objective],
    *,
    resume: Path,
    progress: Progress,
) -> TrainingRun:
    """Fit the prior in `chance`, a part of `network`, after `run`; return `run` with the weights to publish.

    `objective_of` makes the training's objective for settings with another curriculum. Without chance, or
    with no steps to fit it, nothing changes. Raises: as `run_training`.
    """
    fit = settings.prior
    if chance is None or not fit.num_steps:
        return run
    fill(network, run.weights, source="the training just finished")
    network.eval()
    short = settings.model_copy(update={"phases": make_phases((fit.unroll, fit.num_windows, 1))})
    fit_prior(
        chance.prior,
        dreams_of(objective_of(short), chance),
        fit,
        settings.loop,
        seed=settings.seed,
        resume=resume / "prior",
        progress=progress,
    )
    return replace(run, weights={name: value.cpu() for name, value in network.state_dict().items()})


def dreams_of(objective: Objective, chance: ChanceGuide) -> Dreams:
    """The dreams that an objective judges, which it makes with chance from the truth; their cost is left."""

    def dream(index: int, generator: torch.Generator) -> list[PriorExamples]:
        seen: list[Tensor] = []
        told: list[tuple[Tensor, Tensor]] = []

        def see(_: nn.Module, inputs: tuple[Any, ...], __: Any) -> None:
            seen.append(chance.prior.seen(inputs[0]).half())

        def tell(_: nn.Module, __: Any, outputs: tuple[Tensor, Tensor]) -> None:
            told.append(outputs)

        with ExitStack() as stack:
            stack.enter_context(chance.prior.register_forward_hook(see))
            stack.enter_context(chance.encoder.register_forward_hook(tell))
            objective.loss(index, generator)
        return [
            PriorExamples(last, mean.float(), log_std.float())
            for last, (mean, log_std) in zip(seen, told, strict=True)
        ]

    return dream
