"""Flows for the tests of server, worker and deployments: quick, and told what to do by parameters."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from prefect import flow, task

logger = logging.getLogger("worldgen_core.toy")


@task
def add(left: int, right: int) -> int:
    """Add, and say so through the core's own logger, as core code does."""
    logger.info("added %d and %d", left, right)
    return left + right


@flow(name="toy-sum")
def toy_sum(left: int = 1, right: int = 2, out: str = "") -> int:
    """Write the sum of two numbers to a file."""
    total = add(left, right)
    if out:
        Path(out).write_text(str(total))
    return total


@flow(name="toy-sleep")
def toy_sleep(seconds: float = 60.0, out: str = "") -> None:
    """Say that it runs, then sleep."""
    if out:
        Path(out).write_text("running")
    time.sleep(seconds)
