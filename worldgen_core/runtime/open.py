"""Opens a model with the backend that is fastest on this machine, measured once and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from worldgen_core.device import choose_device
from worldgen_core.models.card import read_card
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.load import load_world_model
from worldgen_core.names import BackendChoice, BackendName, DeviceName
from worldgen_core.runtime.backends import get_backend, require
from worldgen_core.runtime.choose import Say, measure_backends, table
from worldgen_core.runtime.measure import put_in
from worldgen_core.runtime.records import BackendReport, read_report, report_path, write_report
from worldgen_core.runtime.scene import Scene, noise_scene


@dataclass(frozen=True)
class FastModel:
    """A model ready to play, and how it is computed. `report` is None where nothing was measured."""

    model: WorldModel
    backend: BackendName
    report: BackendReport | None


def _silent(_line: str) -> None:
    """Where nobody waits for what is being measured."""


SceneOf = Callable[[TensorDreams], Scene]
"""The scene to measure with, for a model that has been loaded."""


def open_fast(
    folder: Path,
    device: DeviceName = "auto",
    *,
    backend: BackendChoice = "auto",
    threads: int = 1,
    scene_of: SceneOf = noise_scene,
    measure_again: bool = False,
    say: Say = _silent,
) -> FastModel:
    """Open a model folder with a backend; "auto" takes the fastest whose frames are right.

    Measuring happens at a model's first start on a machine; it takes from half a minute to some minutes, and
    `say` is told. `measure_again` measures now, and more thoroughly. A model without slots runs eagerly.
    Raises: CheckpointError if the folder is damaged; ConfigError for a device or backend that is not there.
    """
    chosen = None if backend == "auto" else get_backend(backend)
    model, where = load_world_model(folder, device), choose_device(device)
    if not isinstance(model, TensorDreams):
        return FastModel(model, "eager", None)
    scene, report = scene_of(model), None
    if chosen is None:
        report = known_report(folder, scene, where, threads=threads, measure_again=measure_again, say=say)
        chosen = get_backend(report.best)
    require(chosen, where)
    if chosen.engine == "compile":
        say("  compiling, a minute or so …")
    put_in(model, chosen, scene, threads=threads)
    return FastModel(model, chosen.name, report)


def chosen_backend(
    folder: Path, device: DeviceName = "auto", *, backend: BackendChoice = "auto", threads: int = 1
) -> BackendName:
    """The backend that `open_fast` would take, without building it; measures if none is known yet.

    Raises: as `open_fast`.
    """
    chosen = None if backend == "auto" else get_backend(backend)
    model, where = load_world_model(folder, device), choose_device(device)
    if not isinstance(model, TensorDreams):
        return "eager"
    if chosen is None:
        scene = noise_scene(model)
        return known_report(folder, scene, where, threads=threads, measure_again=False, say=_silent).best
    require(chosen, where)
    return chosen.name


def known_report(
    folder: Path, scene: Scene, device: torch.device, *, threads: int, measure_again: bool, say: Say
) -> BackendReport:
    """What is remembered of a model's backends, else measure now and remember."""
    path = report_path(read_card(folder), device.type, threads)
    known = None if measure_again else read_report(path)
    if known is not None:
        return known
    say("first start of this model here: measuring what computes it fastest, once")
    report = measure_backends(
        folder, scene, device=device, threads=threads, is_thorough=measure_again, say=say
    )
    write_report(path, report)
    for line in table(report, report.best):
        say(line)
    return report
