"""Stages of the optimisation ladder: `ladder_speed`, whose timings live in notes, and `ladder_quality`."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.ladder.settings import LadderQualitySettings, LadderSettings
from worldgen_core.models.catalogue import MODEL_MODULES
from worldgen_core.outcome import Outcome


def _core(settings: LadderQualitySettings) -> tuple[str, ...]:
    return (
        "worldgen_core.ladder.quality",
        f"worldgen_core.games.{settings.game}",
        MODEL_MODULES[settings.played.model],
    )


@stage(
    section="ladder",
    core=("worldgen_core.ladder.speed", *sorted(set(MODEL_MODULES.values())), "worldgen_core.games.flappy"),
    packages=("torch", "numpy"),
)
def ladder_speed(settings: LadderSettings, work: Workspace) -> Outcome:
    """Count, time and weigh every rung; inputs are models whose whole frames are timed, by rung."""
    from worldgen_core.ladder.speed import measure_speed

    return measure_speed(settings, work.inputs, out=work.out, progress=work.progress)


@stage(
    section="ladder",
    core=_core,
    packages=("torch", "numpy", "flappy-bird-gymnasium", "opencv-python-headless", "pillow", "matplotlib"),
)
def ladder_quality(settings: LadderQualitySettings, work: Workspace) -> Outcome:
    """Measure a trained model's dream, played as a rung says."""
    from worldgen_core.ladder.quality import measure_quality

    return measure_quality(
        settings, work.inputs["model"], work.inputs["dataset"], out=work.out, progress=work.progress
    )
