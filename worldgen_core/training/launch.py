"""Runs a training in several processes: torchrun is a child of this one, whose news come through.

The function is called again in every process, with the same settings and folders, and its loop takes only
that process's rows of each batch. See docs/decisions/0010.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import torch

from storage.errors import WorldgenError
from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress
from worldgen_core.python_child import child_environment
from worldgen_core.training import rank_process
from worldgen_core.training.job import JOB_FILE, Job, Receiver, name_of, read_error, read_outcome
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.ranks import is_rank

logger = logging.getLogger(__name__)

P = ParamSpec("P")

JOB_FOLDER = "processes"
_OUTPUT_FILE = "output.txt"
_POLL_S = 0.1
_GRACE_S = 10.0
"""How long torchrun may take to end after its processes did."""


def in_processes(train: Callable[P, Outcome]) -> Callable[P, Outcome]:
    """Let a training (settings, *folders, out=, resume=, progress=) run in `settings.loop.num_processes`.

    Raises: ConfigError if the machine has not so many devices; whatever the training raises, as it was.
    """

    @wraps(train)
    def run(*args: P.args, **kwargs: P.kwargs) -> Outcome:
        settings: Any = args[0]
        if settings.loop.num_processes == 1 or is_rank():
            return train(*args, **kwargs)
        words: dict[str, Any] = dict(kwargs)
        job = Job(
            function=name_of(train),
            settings_class=name_of(type(settings)),
            settings_json=settings.model_dump_json(),
            folders=[None if folder is None else str(folder) for folder in args[1:]],
            out=str(words["out"]),
            resume=str(words["resume"]),
        )
        return _launch(job, settings.loop, words["resume"] / JOB_FOLDER, words["progress"])

    return run


def _launch(job: Job, settings: LoopSettings, folder: Path, progress: Progress) -> Outcome:
    """Run the job in processes of its own until all of them are done, or one of them failed."""
    command = torchrun(settings, Path(job.resume).name, folder / JOB_FILE)
    job.write(folder)
    if settings.num_machines > 1:
        logger.warning("run on every other machine", extra={"command": shlex.join(command)})
    receiver = Receiver(folder, progress)
    with (folder / _OUTPUT_FILE).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *command[1:]],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(settings, folder),
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                receiver.pass_on()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
            receiver.pass_on()
        finally:
            _end(process)
    outcome = read_outcome(folder)
    if process.returncode == 0 and outcome is not None:
        return outcome
    raise read_error(folder) or _unexplained(process.returncode, folder)


def torchrun(settings: LoopSettings, run_id: str, job_file: Path) -> list[str]:
    """The command that starts this machine's share of the processes.

    Raises: ConfigError if they cannot be shared out, or this machine has not so many devices.
    """
    num_own, rest = divmod(settings.num_processes, settings.num_machines)
    if rest:
        raise ConfigError(
            "loop.num_processes",
            expected=f"a multiple of loop.num_machines, {settings.num_machines}",
            found=str(settings.num_processes),
            next_step="run the same number of processes on every machine",
        )
    _check_devices(settings, num_own)
    # By a file on one machine: torch's stores listen on every network that a machine is in.
    meeting = ["--rdzv-backend", "c10d", "--rdzv-conf", "store_type=file", "--local-addr", "127.0.0.1"]
    meeting += ["--rdzv-id", run_id, "--rdzv-endpoint", str(job_file.with_name("rendezvous"))]
    if settings.num_machines > 1:
        if not settings.meeting_point:
            raise ConfigError(
                "loop.meeting_point",
                expected="HOST:PORT of the first machine, which all of them can reach",
                found="nothing",
                next_step="set it, for example to 10.0.0.1:29500",
            )
        meeting = ["--nnodes", str(settings.num_machines), "--rdzv-backend", "c10d", "--rdzv-id", run_id]
        meeting += ["--rdzv-endpoint", settings.meeting_point]
    command = ["torchrun", *meeting, "--nproc-per-node", str(num_own), "--max-restarts", "0"]
    return [*command, "-m", rank_process.__name__, str(job_file)]


def _check_devices(settings: LoopSettings, num_own: int) -> None:
    device = choose_device(settings.device).type
    num_devices = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, num_own)
    if num_own > num_devices:
        raise ConfigError(
            "loop.num_processes",
            expected=f"at most {num_devices} on this machine, one a {device} device",
            found=str(num_own),
            next_step="lower it, or set loop.device to cpu",
        )


def _environment(settings: LoopSettings, folder: Path) -> dict[str, str]:
    own = {
        "OMP_NUM_THREADS": str(settings.num_threads),
        rank_process.LAUNCHED: "1",
    }
    if settings.num_machines == 1:
        # Otherwise gloo asks the name service which address this machine has, and laptops have odd answers.
        own["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        own[rank_process.MEETING_FILE] = str(folder / "meeting")
        own["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    return child_environment() | own


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no process behind: those of the training end with their input, torchrun ends with them."""
    assert process.stdin is not None
    process.stdin.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _unexplained(code: int, folder: Path) -> WorldgenError:
    """The error of processes that ended without a word, as those do that the system kills."""
    output = (folder / _OUTPUT_FILE).read_text(encoding="utf-8", errors="replace")
    reasons = [line.strip() for line in output.splitlines() if "exitcode" in line]
    return WorldgenError(
        "processes of the training",
        expected="exit code 0",
        found=f"{code}: {(reasons or ['no message'])[-1]}",
        next_step=f"make sure that memory is free and read {folder / _OUTPUT_FILE}, then run it again",
    )
