"""The toy's training: a sum with a checkpoint after every step."""

from __future__ import annotations

import time
from pathlib import Path

from storage.atomic import write_bytes
from toy_core.helper import scale
from toy_core.settings import TotalSettings
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent


def add_up(settings: TotalSettings, numbers: Path, *, out: Path, resume: Path, progress: Progress) -> Outcome:
    values = [int(path.read_text()) for path in sorted(numbers.glob("numbers-*.txt"))]
    checkpoint = resume / "checkpoint"
    step, total = map(int, checkpoint.read_text().split()) if checkpoint.exists() else (0, 0)
    while step < settings.num_steps:
        time.sleep(settings.step_sleep_s)
        total += scale(values[step % len(values)], settings.factor)
        step += 1
        write_bytes(checkpoint, f"{step} {total}".encode())
        progress(ProgressEvent("total", step, settings.num_steps, metrics={"total": float(total)}))
    write_bytes(out / "total.txt", str(total).encode())
    return Outcome(metrics={"total": total}, headline=f"total {total}")
