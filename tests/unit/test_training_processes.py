"""Trainings that two processes share: same curve as one, one clear error, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.direct_data import make_dataset
from tests.trainings import Interrupted, Trainings, interrupt_after
from tests.unit.test_training_everywhere import assert_same_but_for_rounding, contents
from worldgen_core.errors import ConfigError, DivergenceError
from worldgen_core.progress import EventList
from worldgen_core.training.launch import torchrun
from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    return Trainings(tmp_path_factory.mktemp("trainings"))


@pytest.fixture(scope="module")
def shared(trainings: Trainings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EventList]:
    folder, events = tmp_path_factory.mktemp("shared"), EventList()
    trainings.run("direct", folder, progress=events, num_processes=2)
    return folder, events


def processes_of(folder: Path) -> list[psutil.Process]:
    """Those whose command names a file in `folder`."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or [])
    ]


def wait_for_none(folder: Path, seconds: float = 30) -> None:
    _, alive = psutil.wait_procs(processes_of(folder), timeout=seconds)
    assert not alive


def test_two_processes_learn_what_one_learns(
    trainings: Trainings, shared: tuple[Path, EventList], tmp_path: Path
) -> None:
    folder, events = shared
    trainings.run("direct", tmp_path)
    assert_same_but_for_rounding(folder, tmp_path)
    names = sorted(contents(tmp_path))
    assert sorted(contents(folder)) == names
    assert [path.name for path in sorted((folder / "resume").glob("*.safetensors"))] == [
        "checkpoint-00000004.safetensors",
        "checkpoint-00000006.safetensors",
    ]
    assert [event.done for event in events.events if event.done == event.total] == [33, 32, 24]
    assert not processes_of(folder)


def test_an_interruption_ends_them_all_and_the_next_run_goes_on(
    trainings: Trainings, shared: tuple[Path, EventList], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        trainings.run("direct", tmp_path, progress=interrupt_after(3), num_processes=2)
    assert not processes_of(tmp_path)
    assert not (tmp_path / "out" / "model.json").exists()
    trainings.run("direct", tmp_path, num_processes=2)
    assert contents(tmp_path) == contents(shared[0])


def test_an_error_of_the_processes_comes_out_as_itself(trainings: Trainings, tmp_path: Path) -> None:
    wild = OptimizerSettings(rate=1e30, muon_rate=0.0)
    with pytest.raises(DivergenceError, match=r"training step [1-5]: (loss|gradient_norm)") as stopped:
        trainings.run("direct", tmp_path, num_processes=2, optimizer=wild, warmup_steps=0)
    assert "lower the learning rate" in stopped.value.next_step
    assert any("check_step" in note for note in stopped.value.__notes__)
    assert not processes_of(tmp_path)


_LAUNCH = """
import sys
from pathlib import Path
from tests.direct_data import tiny_settings
from worldgen_core.progress import silent
from worldgen_core.training.direct import train_direct

dataset, folder = map(Path, sys.argv[1:])
settings = tiny_settings(100_000)
loop = settings.loop.model_copy(update={"num_processes": 2})
train_direct(
    settings.model_copy(update={"loop": loop}), dataset, None, out=folder, resume=folder, progress=silent
)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_whatever_ends_the_launcher_ends_them_all(number: signal.Signals, tmp_path: Path) -> None:
    dataset, folder = make_dataset(tmp_path / "data"), tmp_path / "training"
    folder.mkdir()
    command = [sys.executable, "-c", _LAUNCH, str(dataset), str(folder)]
    launcher = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 200
    while not any(folder.glob("checkpoint-*")):
        assert launcher.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(processes_of(folder / "processes")) == 3  # torchrun and two of its processes
    launcher.send_signal(number)
    launcher.wait(30)
    wait_for_none(folder)


def test_what_cannot_be_shared_out_is_refused_before_anything_starts(
    trainings: Trainings, tmp_path: Path
) -> None:
    job = tmp_path / "job.json"
    with pytest.raises(ConfigError, match=r"multiple of loop\.num_machines, 2; found 3"):
        torchrun(LoopSettings(num_processes=3, num_machines=2), "id", job)
    with pytest.raises(ConfigError, match="HOST:PORT of the first machine"):
        torchrun(LoopSettings(num_processes=2, num_machines=2), "id", job)
    with pytest.raises(ConfigError, match="at most 2, the rows of the smallest batch; found 4"):
        trainings.run("diamond", tmp_path, accumulate=4)
    command = torchrun(
        LoopSettings(device="cpu", num_processes=4, num_machines=2, meeting_point="10.0.0.1:29500"), "id", job
    )
    assert command[command.index("--nproc-per-node") + 1] == "2"
    assert command[command.index("--rdzv-endpoint") + 1] == "10.0.0.1:29500"
