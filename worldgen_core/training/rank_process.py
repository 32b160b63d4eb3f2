"""What torchrun runs in every process of a training that several share: `… JOB_FILE`.

The first process writes what the training publishes and tells how it goes; the others do the same work on
their rows of every batch and write into a folder that is thrown away.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from pathlib import Path

import torch.distributed as dist

from worldgen_core.progress import silent
from worldgen_core.training.job import Job, Sender, write_error, write_outcome
from worldgen_core.training.ranks import join_ranks, rank

LAUNCHED = "WORLDGEN_LAUNCHED"
"""Set in the environment of processes that end with the one that launched them, whose pipe is their input."""
MEETING_FILE = "WORLDGEN_MEETING_FILE"
"""Names the file by which processes on one machine meet; without it they meet where torchrun says."""


def main(job_file: str) -> None:
    """Run the job as one of its processes."""
    if os.environ.get(LAUNCHED):
        threading.Thread(target=_leave_with_the_launcher, daemon=True).start()
    path = Path(job_file)
    try:
        _run(Job.read(path), path.parent)
    except Exception as error:
        write_error(path.parent, os.environ["RANK"], error)
        raise


def _run(job: Job, folder: Path) -> None:
    join_ranks(job.settings.loop, os.environ.get(MEETING_FILE))
    if rank() == 0:
        sender = Sender(folder)
        for name in ("worldgen_core", "storage"):
            logging.getLogger(name).addHandler(sender)
        write_outcome(folder, job.run(out=Path(job.out), progress=sender.progress))
    else:
        with tempfile.TemporaryDirectory(prefix="worldgen-rank-") as out:
            job.run(out=Path(out), progress=silent)
    dist.destroy_process_group()


def _leave_with_the_launcher() -> None:
    """Exit at once when the launcher is gone, however it went: nothing else tells an orphan."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
