"""Stage `evaluate`: the panels that compare a dream with the game, a report, and pictures of both."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.outcome import Outcome


def _core(settings: EvaluateSettings) -> tuple[str, ...]:
    return ("worldgen_core.evaluation.evaluate", f"worldgen_core.games.{settings.game}", *MODEL_MODULES)


MODEL_MODULES = ("worldgen_core.models.direct", "worldgen_core.models.diamond_vae")
"""Every architecture that a weights folder may name; which one it is, is known only once it is built."""


@stage(
    section="evaluate",
    core=_core,
    packages=("torch", "numpy", "flappy-bird-gymnasium", "opencv-python-headless", "pillow", "matplotlib"),
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
