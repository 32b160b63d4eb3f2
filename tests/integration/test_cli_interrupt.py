"""Ctrl-C on a `worldgen` command, and what the processes it leaves behind inherit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import bench, build, studio
from flows.cli.checkout import Checkout
from storage.locks import hold_lock

QUIET = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"


def test_ctrl_c_says_that_what_was_finished_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "prefect"
    with hold_lock(home / "up.lock"):
        waiting = subprocess.Popen(
            [sys.executable, "-c", "from flows.cli.app import run; run()", "down"],
            env={**os.environ, "PREFECT_HOME": str(home), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stdout is not None
        assert "waiting" in waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert said == "stopped: what was finished is kept; the same command goes on from there\n"


class ServerStarts(Exception):
    """Raised where a server would start."""


@pytest.mark.parametrize(
    "command",
    [
        lambda: build.build("flappy", "smoke"),
        lambda: studio.evaluate("flappy", "smoke", seeds=1),
        lambda: bench.bench("flappy", "smoke", dataset="smoke"),
    ],
)
def test_a_server_that_a_command_starts_writes_its_log(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[], None]
) -> None:
    def ensure_server(*, checkout: Checkout | None = None, say: object = None) -> str:
        raise ServerStarts(os.environ.get(QUIET, "not set"))

    monkeypatch.delenv(QUIET, raising=False)
    monkeypatch.setattr("flows.cli.server.ensure_server", ensure_server)
    with pytest.raises(ServerStarts, match="not set"):
        command()
