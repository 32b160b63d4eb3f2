"""Stage `side_by_side`: the game and several models from one start under one player, in one picture."""

from __future__ import annotations

from dataclasses import replace

from tasks.stage import Stage, Workspace, stage
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.models.catalogue import MODEL_MODULES
from worldgen_core.names import ModelName
from worldgen_core.outcome import Outcome

PACKAGES = ("torch", "numpy", "flappy-bird-gymnasium", "opencv-python-headless", "pillow")


def _core(settings: EvaluateSettings) -> tuple[str, ...]:
    return ("worldgen_core.evaluation.side_by_side", f"worldgen_core.games.{settings.game}")


@stage(section="evaluate", core=_core, packages=PACKAGES)
def side_by_side(settings: EvaluateSettings, work: Workspace) -> Outcome:
    """Dream with every model; inputs are the dataset and the models by name."""
    from worldgen_core.evaluation.side_by_side import side_by_side as draw

    models = {name: folder for name, folder in work.inputs.items() if name != "dataset"}
    return draw(settings, work.inputs["dataset"], models, out=work.out, progress=work.progress)


def side_by_side_of(models: tuple[ModelName, ...]) -> Stage[EvaluateSettings]:
    """The stage for these models, whose code its picture depends on."""
    modules = tuple(sorted({MODEL_MODULES[model] for model in models}))

    def core(settings: EvaluateSettings) -> tuple[str, ...]:
        return (*_core(settings), *modules)

    return replace(side_by_side, core=core)
