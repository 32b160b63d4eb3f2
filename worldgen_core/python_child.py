"""Python modules run in a process of their own: for memory of their own, or because they may end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


class ChildError(Exception):
    """A child did not end well; the message says in a few words why."""


def run_module(name: str, *arguments: str, timeout_s: float | None = None) -> None:
    """Run `python -m NAME ARGUMENTS` to its end; nothing it says is shown.

    Raises: ChildError with the last line of what it said, the signal that ended it, or the time it was given.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-m", name, *arguments],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise ChildError(f"not ready within {error.timeout:.0f} s") from error
    if child.returncode < 0:
        raise ChildError(f"its process died of {signal.Signals(-child.returncode).name}")
    if child.returncode > 0:
        raise ChildError((child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1])


def child_environment() -> dict[str, str]:
    """This process's environment, with the folder of our packages, installed or not, on the search path."""
    folders = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
