"""The benchmark stage, panel 6: how fast, how large, how much memory, in a process of its own.

Speed differs from run to run and from machine to machine: it goes into the notes. benchmark.json holds what
does not.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from storage.errors import WorldgenError
from worldgen_core.device import choose_device
from worldgen_core.evaluation import benchmark_process
from worldgen_core.evaluation.settings import BenchmarkSettings
from worldgen_core.models.card import read_card
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.python_child import ChildError, run_module
from worldgen_core.runtime.open import chosen_backend


def benchmark(settings: BenchmarkSettings, model: Path, *, out: Path, progress: Progress) -> Outcome:
    """Time a model as a person would play it: one dream, frame by frame.

    Raises: CheckpointError for a damaged model; ConfigError for a device that is not there.
    """
    card = read_card(model)
    device = choose_device(settings.device).type
    # Chosen here, because an error in the other process would lose its type; and what is measured to choose
    # is then no part of the other process's memory.
    backend = chosen_backend(model, settings.device, backend=settings.backend, threads=settings.num_threads)
    progress(ProgressEvent("repeats", 0, settings.num_repeats))
    timings = _measure(settings.model_copy(update={"device": device, "backend": backend}), model)
    progress(ProgressEvent("repeats", settings.num_repeats, settings.num_repeats))
    facts = {
        "model": card.model,
        "game": card.game,
        "height": card.height,
        "width": card.width,
        "num_parameters": card.num_parameters,
        "size_bytes": sum(path.stat().st_size for path in sorted(model.rglob("*")) if path.is_file()),
    }
    (out / "benchmark.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    cores = "one core" if settings.num_threads == 1 else f"{settings.num_threads} cores"
    where = cores if device == "cpu" else device
    return Outcome(
        metrics={"num_parameters": card.num_parameters.get("total"), "size_bytes": facts["size_bytes"]},
        notes={
            **timings,
            "device": device,
            "num_threads": settings.num_threads,
            "frames_per_s_limit": settings.min_frames_per_s,
            "frames_per_s_passed": timings["frames_per_s"] >= settings.min_frames_per_s,
        }
        | _better_still(settings),
        headline=f"{timings['frames_per_s']:.0f} frames/s on {where}, {backend}",
    )


def _better_still(settings: BenchmarkSettings) -> dict[str, float]:
    stretch = settings.stretch_frames_per_s
    return {} if stretch is None else {"frames_per_s_stretch": stretch}


def _measure(settings: BenchmarkSettings, model: Path) -> dict[str, Any]:
    """Run the measurement in a fresh process, so that its memory is the model's and not the caller's."""
    with tempfile.TemporaryDirectory(prefix="worldgen-benchmark-") as folder:
        result = Path(folder) / "timings.json"
        try:
            run_module(benchmark_process.__name__, str(model), settings.model_dump_json(), str(result))
        except ChildError as error:
            raise WorldgenError(
                f"benchmark process of {model}",
                expected="one that ends well",
                found=str(error),
                next_step="make sure that memory is free, then run `worldgen bench` again",
            ) from error
        return json.loads(result.read_text(encoding="utf-8"))
