"""Background processes with a record on disk: started detached, recognised later, stopped without guessing.

A process is known by its id *and* its start time, so that a stale record never points at a stranger who was
given the same id.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from storage.atomic import write_json

STOP_TIMEOUT_S = 15.0

# Meant to outlive us: kept so that Python does not warn that a forgotten child still runs.
_children: list[subprocess.Popen[bytes]] = []


class Record(BaseModel):
    """What is written about a running process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: float
    """Start time as the system tells it, seconds since 1970."""
    port: int | None = None


@dataclass(frozen=True)
class Background:
    """One named background process of a Prefect home; at most one at a time."""

    name: str
    home: Path

    @property
    def record_file(self) -> Path:
        """Where the record of the running process lies."""
        return self.home / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self.home / "logs" / f"{self.name}.log"

    def record(self) -> Record | None:
        """Return the record of the process if it still runs; a stale or unreadable record is removed."""
        try:
            record = Record.model_validate(json.loads(self.record_file.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, ValidationError):
            self.record_file.unlink(missing_ok=True)
            return None
        if _find(record) is None:
            self.record_file.unlink(missing_ok=True)
            return None
        return record

    def start(
        self, command: Sequence[str], *, cwd: Path, variables: Mapping[str, str], port: int | None = None
    ) -> Record:
        """Start the process in a session of its own, so that Ctrl-C here does not reach it, and record it."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _children.append(process)
        record = Record(pid=process.pid, started=psutil.Process(process.pid).create_time(), port=port)
        write_json(self.record_file, record.model_dump())
        return record

    def stop(self) -> bool:
        """Stop the recorded process and everything it started; return whether there was one."""
        record = self.record()
        process = None if record is None else _find(record)
        if process is not None:
            _stop_tree(process)
        self.record_file.unlink(missing_ok=True)
        return process is not None

    def last_log_line(self) -> str:
        """Return the last line of the log, for an error message."""
        try:
            lines = [line.strip() for line in self.log_file.read_text(errors="replace").splitlines()]
        except FileNotFoundError:
            return ""
        return next((line for line in reversed(lines) if line), "")


def _find(record: Record) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(record.pid)
        is_same = abs(process.create_time() - record.started) < 1.0
        if is_same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _stop_tree(process: psutil.Process) -> None:
    """Ask a process to end, then end what is left of it and of what it started."""
    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        children = process.children(recursive=True)
        process.terminate()
    _, alive = psutil.wait_procs([process], timeout=STOP_TIMEOUT_S)
    rest = [*alive, *children]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for left in rest:
            with suppress(psutil.NoSuchProcess):
                end(left)
        _, rest = psutil.wait_procs(rest, timeout=STOP_TIMEOUT_S / 3)
