"""What the figures of a benchmark depend on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def describe_machine(*measured: str) -> dict[str, str]:
    """Processor, load, Python and commit; `measured` are the folders whose code is measured."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].split(":")[1].strip() if model else platform.processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "commit": _commit(measured),
    }


def _commit(measured: tuple[str, ...]) -> str:
    """The checkout's commit, with a mark if the measured code differs from it."""
    show = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *measured], check=False)
    return (show.stdout.strip() or "unknown") + ("-changed" if changed.returncode == 1 else "")
