"""The toy's evaluation: depends on the total only through its parity, so that equal bytes stop the ripple."""

from __future__ import annotations

from pathlib import Path

from storage.atomic import write_bytes
from toy_core.settings import ReportSettings
from worldgen_core.outcome import Outcome


def write_report(settings: ReportSettings, total: Path, *, out: Path) -> Outcome:
    parity = int((total / "total.txt").read_text()) % 2
    write_bytes(out / "report.txt", f"{settings.title}: {parity}".encode())
    return Outcome(headline=f"parity {parity}")
