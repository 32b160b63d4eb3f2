"""A training along a curriculum: batches are drawn ahead, each as long as its step's phase asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from worldgen_core.progress import Progress
from worldgen_core.rows import check_split
from worldgen_core.training.clip_batches import Prefetcher
from worldgen_core.training.loop import Objective, TrainingRun, run_training
from worldgen_core.training.phases import CurriculumSettings, phase_at

B = TypeVar("B")


def run_curriculum(
    settings: CurriculumSettings,
    produce: Callable[[int], B],
    objective_of: Callable[[Prefetcher[B]], Objective],
    *,
    resume: Path,
    progress: Progress,
) -> TrainingRun:
    """Run the loop through all phases; `produce` gives the batch of a training step.

    Raises: as `run_training`, and whatever drawing a batch raises; ConfigError before anything is trained if
    a batch, of a phase or of a fit after them, cannot be split into as many parts as asked for.
    """
    loop = settings.loop
    check_split([phase.batch_size for phase in settings.phases], loop.accumulate * loop.num_processes)
    for fit in settings.fits:
        check_split([fit.batch_size], loop.num_processes)
    batches = Prefetcher(produce, settings.num_steps)
    try:
        return run_training(
            objective_of(batches),
            loop,
            seed=settings.seed,
            num_steps=settings.num_steps,
            num_frames_at=lambda train_step: phase_at(settings.phases, train_step).num_frames,
            resume=resume,
            progress=progress,
            phase_at=lambda train_step: settings.phases.index(phase_at(settings.phases, train_step)),
        )
    finally:
        batches.close()
