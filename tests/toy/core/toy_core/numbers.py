"""The toy's capture: one file a unit, each unit resumable."""

from __future__ import annotations

import random
import time
from pathlib import Path

from storage.atomic import write_bytes
from toy_core.settings import NumbersSettings
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent


def make_numbers(settings: NumbersSettings, *, out: Path, resume: Path, progress: Progress) -> Outcome:
    for index in range(settings.num_units):
        unit = resume / f"unit-{index}"
        if not unit.exists():
            time.sleep(settings.unit_sleep_s)
            drawn = random.Random(f"{settings.seed}/{index}").randrange(1000)
            write_bytes(unit, str(drawn).encode())
        write_bytes(out / f"numbers-{index}.txt", unit.read_bytes())
        progress(ProgressEvent("numbers", index + 1, settings.num_units))
    return Outcome(metrics={"num_units": settings.num_units}, headline=f"{settings.num_units} numbers")
