"""What is known of a model's backends on this machine: plain records, and the file that keeps them."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.atomic import write_json
from storage.location import store_root
from worldgen_core.models.card import ModelCard
from worldgen_core.names import BackendName
from worldgen_core.runtime.backends import BACKENDS
from worldgen_core.runtime.measure import Measured

_PACKAGES = ("torch", "openvino", "onnxruntime")
_NEARLY_AS_FAST = 0.95
_FAST_ENOUGH = 0.8
_MUCH_SOONER_S = 5.0


class Refused(BaseModel):
    """A backend that is not used, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: BackendName
    """Which one."""
    reason: str
    """In a few words."""


class BackendReport(BaseModel):
    """All that was measured of one model, on one device and number of threads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    """Where."""
    threads: int
    """CPU threads of a step."""
    measured: tuple[Measured, ...]
    """The backends that ran."""
    refused: tuple[Refused, ...]
    """Those that did not run, or whose frames are too far off."""

    @property
    def best(self) -> BackendName:
        """The fastest that is right, unless one nearly as fast is ready much sooner; eager if none is right.

        By the ratio to eager in the same run: frames a second of different runs differ by what else ran.
        Building comes at every start: a fifth of the speed is not worth waiting for.
        """
        wrong = {entry.backend for entry in self.refused}
        right = [entry for entry in self.measured if entry.backend not in wrong]
        if not right:
            return "eager"
        fastest = max(right, key=lambda entry: entry.times_eager)
        sooner = [
            entry
            for entry in right
            if entry.times_eager >= _FAST_ENOUGH * fastest.times_eager
            and entry.build_s <= fastest.build_s - _MUCH_SOONER_S
        ]
        good = sooner or right
        top = max(entry.times_eager for entry in good)
        return next(entry.backend for entry in good if entry.times_eager >= _NEARLY_AS_FAST * top)

    def of(self, backend: BackendName) -> Measured | None:
        """What was measured of one of them."""
        return next((entry for entry in self.measured if entry.backend == backend), None)


def report_path(card: ModelCard, device: str, threads: int) -> Path:
    """Where a report is kept: another model, machine, device, number of threads or library has another."""
    parts = {
        "weights": card.weights_sha256,
        "machine": [platform.node(), platform.machine(), _cpu_name()],
        "device": device,
        "threads": threads,
        "packages": {name: _version(name) for name in _PACKAGES},
        "backends": list(BACKENDS),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return store_root() / "runtime" / f"{digest[:24]}.json"


def read_report(path: Path) -> BackendReport | None:
    """What was measured before; None if nothing was, or if it cannot be read."""
    try:
        return BackendReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_report(path: Path, report: BackendReport) -> None:
    """Remember it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, report.model_dump(mode="json"))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
