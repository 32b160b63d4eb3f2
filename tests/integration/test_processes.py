"""Background processes: records that cannot point at a stranger, and stopping a whole family."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.cli.processes import Background

SLEEP = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\ntime.sleep(60)",
]


@pytest.fixture
def background(tmp_path: Path):
    made = Background("thing", tmp_path)
    yield made
    made.stop()


def first_line(background: Background) -> str:
    for _ in range(200):
        text = background.log_file.read_text()
        if "\n" in text:
            return text.splitlines()[0]
        time.sleep(0.05)
    raise AssertionError("the process wrote nothing")


def test_it_is_recorded_recognised_and_stopped_with_its_children(
    background: Background, tmp_path: Path
) -> None:
    assert background.record() is None
    record = background.start(PARENT, cwd=tmp_path, variables={}, port=4200)
    assert background.record() == record
    child = int(first_line(background))
    assert background.stop() is True
    assert not psutil.pid_exists(record.pid)
    assert not psutil.pid_exists(child)
    assert background.record() is None
    assert background.stop() is False


def test_a_record_of_a_stranger_with_the_same_id_is_stale(background: Background) -> None:
    with subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL) as stranger:
        started = psutil.Process(stranger.pid).create_time() - 100.0
        background.record_file.write_text(json.dumps({"pid": stranger.pid, "started": started}))
        assert background.stop() is False
        assert stranger.poll() is None
        assert not background.record_file.exists()
        stranger.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 999999999, "started": 1.0}'])
def test_a_useless_record_is_removed(background: Background, text: str) -> None:
    background.record_file.write_text(text)
    assert background.record() is None
    assert not background.record_file.exists()


def test_a_process_that_ended_by_itself_is_not_running(background: Background, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no database'); print(); raise SystemExit(3)"]
    record = background.start(command, cwd=tmp_path, variables={})
    psutil.Process(record.pid).wait(20)
    assert background.record() is None
    assert background.last_log_line() == "no database"


def test_it_gets_its_own_settings_and_survives_ctrl_c_here(background: Background, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "import os; print(os.environ['A'], os.getsid(0) == os.getpid(), os.getcwd())",
    ]
    record = background.start(command, cwd=tmp_path, variables={"A": "b"})
    psutil.Process(record.pid).wait(20)
    assert background.last_log_line() == f"b True {tmp_path.resolve()}"
