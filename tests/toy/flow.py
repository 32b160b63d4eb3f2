"""Flows for the tests of server, worker and deployments: quick, and told what to do by parameters."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from prefect import flow, task

from tasks.progress import stage_progress
from tasks.publish import PlanRow, Summary, SummaryRow, publish_card, publish_plan, publish_summary
from worldgen_core.progress import ProgressEvent

logger = logging.getLogger("worldgen_core.toy")


@task
def add(left: int, right: int) -> int:
    """Add, showing progress and logging as core code does."""
    with stage_progress("add") as progress:
        progress(ProgressEvent("adding", 1, 2))
        progress(ProgressEvent("adding", 2, 2))
    logger.info("added %d and %d", left, right)
    return left + right


@flow(name="toy-sum")
def toy_sum(left: int = 1, right: int = 2, out: str = "", picture: str = "") -> int:
    """Write the sum of two numbers to a file; with a picture, show what recipes show, too."""
    total = add(left, right)
    if picture:
        publish_plan("toy-sum", [PlanRow("add", "stale", ["never built"])])
        publish_card("toy", "# A card", {"a picture": Path(picture)})
        publish_summary(Summary("toy-sum", [SummaryRow("add", "built", 0.5, str(total))]))
    if out:
        Path(out).write_text(str(total))
    return total


@flow(name="toy-sleep")
def toy_sleep(out: str, seconds: float = 600.0) -> None:
    """Write the process id to a file, then sleep."""
    Path(out).write_text(str(os.getpid()))
    time.sleep(seconds)
