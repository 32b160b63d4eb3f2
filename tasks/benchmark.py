"""Stage `benchmark`: speed, memory and size of a model; the timings live in the manifest's notes."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.evaluation.settings import BenchmarkSettings
from worldgen_core.models.catalogue import MODEL_MODULES, MODEL_PACKAGES
from worldgen_core.outcome import Outcome


def _core(settings: BenchmarkSettings) -> tuple[str, ...]:
    return ("worldgen_core.evaluation.benchmark", MODEL_MODULES[settings.model])


@stage(
    section="benchmark",
    core=_core,
    packages=lambda settings: ("torch", "numpy", *MODEL_PACKAGES.get(settings.model, ())),
)
def benchmark(settings: BenchmarkSettings, work: Workspace) -> Outcome:
    """Time the model in a process of its own."""
    from worldgen_core.evaluation.benchmark import benchmark as measure

    return measure(settings, work.inputs["model"], out=work.out, progress=work.progress)
