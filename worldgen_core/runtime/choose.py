"""Measures every backend that runs here, each in a process of its own, and says which are fit to use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from worldgen_core.names import BackendName
from worldgen_core.python_child import ChildError, run_module
from worldgen_core.runtime import probe
from worldgen_core.runtime.backends import BACKENDS, Backend, why_not
from worldgen_core.runtime.measure import Measured
from worldgen_core.runtime.records import BackendReport, Refused
from worldgen_core.runtime.scene import Scene, save_scene

Say = Callable[[str], None]

TIMEOUT_S = 900.0
"""Longest that one backend may take to build and to run its frames."""


def measure_backends(
    folder: Path, scene: Scene, *, device: torch.device, threads: int, is_thorough: bool, say: Say
) -> BackendReport:
    """Measure what runs on a device; `say` is told what is measured, as it takes a while.

    Thorough: with torch.compile on a CPU too, which gains least there and waits longest, at every start.
    """
    measured: list[Measured] = []
    refused: list[Refused] = []
    with tempfile.TemporaryDirectory(prefix="worldgen-runtime-") as temporary:
        scene_file = Path(temporary) / "scene.npz"
        save_scene(scene, scene_file)
        for backend in BACKENDS.values():
            reason = why_not(backend, device)
            if reason is None and backend.engine == "compile" and device.type == "cpu" and not is_thorough:
                reason = "not measured: `worldgen backends` does"
            if reason is None:
                say(f"  measuring {backend.name} …")
                found = _probe(folder, backend, device.type, threads, scene_file)
                if isinstance(found, Measured):
                    measured.append(found)
                    reason = _too_far_off(backend, found)
                else:
                    reason = found
            if reason is not None:
                refused.append(Refused(backend=backend.name, reason=reason))
    return BackendReport(
        device=device.type, threads=threads, measured=tuple(measured), refused=tuple(refused)
    )


def _probe(folder: Path, backend: Backend, device: str, threads: int, scene_file: Path) -> Measured | str:
    """What was measured, or why nothing was."""
    result = scene_file.with_name(f"{backend.name}.json")
    arguments = (str(folder), backend.name, device, str(threads), str(scene_file), str(result))
    try:
        run_module(probe.__name__, *arguments, timeout_s=TIMEOUT_S)
    except ChildError as error:
        return str(error)
    return Measured.model_validate_json(result.read_bytes())


def _too_far_off(backend: Backend, found: Measured) -> str | None:
    if found.error <= backend.error_bound:
        return None
    return f"error {found.error:.1e}, more than {backend.error_bound:.0e}"


def table(report: BackendReport, chosen: BackendName) -> list[str]:
    """The report in lines for a terminal."""
    wrong = {entry.backend: entry.reason for entry in report.refused}
    lines = ["  backend        frames/s    eager    error    drift  first frame"]
    for entry in report.measured:
        note = "taken" if entry.backend == chosen else wrong.get(entry.backend, "")
        lines.append(
            f"  {entry.backend:<14} {entry.frames_per_s:>8.1f} {entry.times_eager:>7.2f}x "
            f"{entry.error:>8.0e} {entry.drift:>8.0e} {entry.build_s:>10.1f} s  {note}".rstrip()
        )
    ran = {entry.backend for entry in report.measured}
    lines += [f"  {name:<14} {reason}" for name, reason in wrong.items() if name not in ran]
    return lines
