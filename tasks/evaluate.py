"""Stage `evaluate`: the panels that compare a dream with the game, a report, and pictures of both."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.models.catalogue import MODEL_MODULES, MODEL_PACKAGES
from worldgen_core.outcome import Outcome

PACKAGES = ("torch", "numpy", "flappy-bird-gymnasium", "opencv-python-headless", "pillow", "matplotlib")


def _core(settings: EvaluateSettings) -> tuple[str, ...]:
    return (
        "worldgen_core.evaluation.evaluate",
        f"worldgen_core.games.{settings.game}",
        MODEL_MODULES[settings.model],
    )


@stage(
    section="evaluate",
    core=_core,
    packages=lambda settings: (*PACKAGES, *MODEL_PACKAGES.get(settings.model, ())),
)
def evaluate(settings: EvaluateSettings, work: Workspace) -> Outcome:
    """Measure the model on held-out play."""
    from worldgen_core.evaluation.evaluate import evaluate as measure

    return measure(
        settings,
        work.inputs["model"],
        work.inputs["dataset"],
        out=work.out,
        resume=work.resume,
        progress=work.progress,
    )
