"""The stage ladder_speed: what every rung costs, counted, and how fast and how large it is on this machine.

Counts are reproducible and make up ladder.json; what was measured goes into the notes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import WorldgenError
from worldgen_core.device import choose_device
from worldgen_core.ladder import speed_process
from worldgen_core.ladder.pieces import PieceCost, costs_of, frame_of
from worldgen_core.ladder.settings import LadderSettings, Rung
from worldgen_core.models.card import read_card
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.python_child import ChildError, run_module

FACTS_FILE = "ladder.json"


def measure_speed(
    settings: LadderSettings, trained: Mapping[str, Path], *, out: Path, progress: Progress
) -> Outcome:
    """Count and time every rung; `trained` are model folders, by rung, of those whose whole frames are timed.

    Raises: ConfigError for a device that is not there; WorldgenError if a measuring process fails.
    """
    settings = settings.model_copy(update={"device": choose_device(settings.device).type})
    measured = _distinct(settings) if settings.has_memory else []
    total = len(settings.rungs) + 1 + len(measured)
    costs: dict[str, list[PieceCost]] = {}
    for done, rung in enumerate(settings.rungs):
        progress(ProgressEvent("rungs counted and measured", done, total))
        costs[rung.name] = [] if rung.is_whole else costs_of(rung, settings)
    facts = [_facts(rung, costs[rung.name], trained.get(rung.name)) for rung in settings.rungs]
    (out / FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    folders = json.dumps({name: str(folder) for name, folder in trained.items()})
    timings = _in_process("time", settings, folders)
    memory: dict[str, Any] = {}
    for done, (rung, names) in enumerate(measured, start=len(settings.rungs) + 1):
        progress(ProgressEvent("rungs counted and measured", done, total))
        if rung.name not in timings["failures"]:
            found = _in_process("memory", settings, rung.name)["memory_bytes"]
            memory |= dict.fromkeys(names, found)
    progress(ProgressEvent("rungs counted and measured", total, total))
    return Outcome(
        metrics={"num_rungs": len(settings.rungs)},
        notes=timings
        | {"memory_bytes": memory, "device": settings.device, "num_threads": settings.num_threads},
        headline=f"{len(settings.rungs)} rungs, {len(timings['failures'])} of which cannot run here",
    )


def _facts(rung: Rung, costs: list[PieceCost], folder: Path | None) -> dict[str, Any]:
    """What is true of a rung on every machine."""
    if rung.is_whole:
        card = None if folder is None else read_card(folder)
        size = None if folder is None else sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        counts: dict[str, Any] = {
            "num_parameters": None if card is None else card.num_parameters["total"],
            "weights_bytes": size,
            "memory_bytes": None,
            "flops": None,
            "frame": None if card is None else [card.height, card.width],
            "evaluations": {},
        }
    else:
        run = [cost for cost in costs if cost.num_evaluations]
        weights = sum(cost.weights_bytes for cost in run)
        counts = {
            "num_parameters": sum(cost.key.num_parameters for cost in run),
            "weights_bytes": weights,
            "memory_bytes": weights + max(cost.activation_bytes for cost in run),
            "flops": sum(cost.num_evaluations * cost.key.flops for cost in run),
            "frame": list(frame_of(rung)),
            "evaluations": {cost.key.part: cost.num_evaluations for cost in run},
        }
    return {"rung": rung.name, **counts}


def _distinct(settings: LadderSettings) -> list[tuple[Rung, list[str]]]:
    """Rungs whose memory is worth a process, each with all that share it: steps make no difference to it."""
    found: dict[tuple[Any, ...], tuple[Rung, list[str]]] = {}
    for rung in settings.rungs:
        if _is_eager(rung) and speed_process.is_native(rung.precision, settings.device):
            key = tuple(cost.key for cost in costs_of(rung, settings) if cost.num_evaluations)
            found.setdefault(key, (rung, []))[1].append(rung.name)
    return list(found.values())


def _is_eager(rung: Rung) -> bool:
    """Whether the memory of its networks tells that of the rung; a backend keeps weights in its own way."""
    return not rung.is_whole and rung.backend == "eager"


def _in_process(what: str, settings: LadderSettings, argument: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="worldgen-ladder-") as folder:
        result = Path(folder) / "result.json"
        try:
            run_module(speed_process.__name__, what, settings.model_dump_json(), argument, str(result))
        except ChildError as error:
            raise WorldgenError(
                f"measuring process of the ladder ({what} {argument[:40]})",
                expected="one that ends well",
                found=str(error),
                next_step="make sure that four GB of memory are free, then run `worldgen bench ladder` again",
            ) from error
        return json.loads(result.read_text(encoding="utf-8"))
