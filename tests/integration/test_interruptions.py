"""Builds that are killed, stopped, doubled or starved leave nothing half-published; the next one finishes.

Each build is a process of its own, so that SIGKILL means what it says.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import ArtifactStore
from storage.manifest import find_damage

pytestmark = pytest.mark.usefixtures("prefect_server")

ROOT = Path(__file__).parents[2]
SLOW: dict[str, dict[str, Any]] = {"numbers": {"unit_sleep_s": 0.15}, "total": {"step_sleep_s": 0.15}}
ENDLESS = {**SLOW, "total": {"step_sleep_s": 0.15, "num_steps": 10_000}}  # never done before it is stopped


def start_build(
    store: Path, settings: dict[str, Any], *, max_file_bytes: int | None = None
) -> subprocess.Popen[str]:
    """Start a build; with `max_file_bytes` every longer file ends in "File too large", as on a full disk."""
    from prefect.settings import PREFECT_API_URL

    def limit() -> None:
        if max_file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))

    return subprocess.Popen(
        [sys.executable, "-m", "tests.toy.recipe", json.dumps(settings)],
        cwd=ROOT,
        env={
            **os.environ,
            "WORLDGEN_STORE": str(store),
            "PREFECT_API_URL": PREFECT_API_URL.value(),
            "PREFECT_LOGGING_LEVEL": "ERROR",
        },
        preexec_fn=limit,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(build: subprocess.Popen[str]) -> list[list[str]]:
    out, err = build.communicate(timeout=120)
    assert build.returncode == 0, err
    return json.loads(out.strip().splitlines()[-1])


def digests(lines: list[list[str]]) -> dict[str, str]:
    return {stage: digest for stage, _, digest in lines}


def assert_whole(store: Path) -> None:
    opened = ArtifactStore(store)
    for manifest in opened.manifests():
        assert find_damage(opened.path(manifest.ref), manifest, full=True) == []


def wait_for(store: Path, pattern: str) -> None:
    deadline = time.monotonic() + 60
    while not list(store.glob(pattern)):
        assert time.monotonic() < deadline, f"nothing like {pattern} in {store}"
        time.sleep(0.01)


def test_sigkill_at_random_points_ends_in_the_same_digests(tmp_path: Path) -> None:
    undisturbed = digests(finish(start_build(tmp_path / "calm", SLOW)))
    store = tmp_path / "killed"
    points = ["work/numbers/*/unit-1", "work/numbers/*/unit-4", "work/total/*/checkpoint"]
    killed: list[int] = []
    for number, point in enumerate(points):
        build = start_build(store, SLOW)
        wait_for(store, point)
        time.sleep(random.Random(number).random() * 0.3)
        build.send_signal(signal.SIGKILL)
        build.communicate()
        killed.append(build.pid)
        assert_whole(store)
    assert killed[0] in {owner(path) for path in (store / "tmp").iterdir()}
    units = {path: path.stat().st_mtime_ns for path in store.glob("artifacts/numbers/*/*.txt")}
    assert digests(finish(start_build(store, SLOW))) == undisturbed
    assert units == {path: path.stat().st_mtime_ns for path in units}
    assert_whole(store)
    assert {owner(path) for path in (store / "tmp").iterdir()} <= set(killed)
    ArtifactStore(store).clear_leftovers()
    assert not list((store / "tmp").iterdir())


def owner(temporary: Path) -> int:
    """The process that made a temporary folder."""
    return int(temporary.name.split("-")[-2])


def test_two_builds_at_once_make_everything_once(tmp_path: Path) -> None:
    store = tmp_path / "shared"
    builds = [start_build(store, SLOW) for _ in range(2)]
    results = [finish(build) for build in builds]
    assert digests(results[0]) == digests(results[1])
    built = sorted((stage, state) for lines in results for stage, state, _ in lines)
    assert built.count(("numbers", "built")) == 1
    assert [manifest.stage for manifest in ArtifactStore(store).manifests()] == ["numbers", "report", "total"]


def test_ctrl_c_keeps_what_was_finished(tmp_path: Path) -> None:
    store = tmp_path / "stopped"
    build = start_build(store, ENDLESS)
    wait_for(store, "work/total/*/checkpoint")
    build.send_signal(signal.SIGINT)
    build.communicate(timeout=60)
    assert build.returncode != 0
    assert [manifest.stage for manifest in ArtifactStore(store).manifests()] == ["numbers"]
    assert list(store.glob("work/total/*/checkpoint"))
    assert not list((store / "tmp").iterdir())


LONG_TITLE = {"report": {"title": "x" * 70_000}}


@pytest.mark.parametrize(
    ("settings", "max_file_bytes", "finished", "file"),
    [
        pytest.param(LONG_TITLE, 65_536, ["numbers", "total"], "report.txt", id="in a stage's body"),
        pytest.param({}, 1024, [], "manifest.json", id="while publishing"),
    ],
)
def test_disk_that_fills_up_is_one_clear_error(
    tmp_path: Path, settings: dict[str, Any], max_file_bytes: int, finished: list[str], file: str
) -> None:
    store = tmp_path / "full"
    build = start_build(store, settings, max_file_bytes=max_file_bytes)
    _, err = build.communicate(timeout=120)
    assert build.returncode != 0
    last = err.strip().splitlines()[-1]
    assert last.startswith("storage.errors.StorageError: cannot write to ")
    assert file in last
    assert "File too large" in last
    assert "what was finished is kept" in last
    assert [manifest.stage for manifest in ArtifactStore(store).manifests()] == finished
    assert sorted(path.parent.name for path in (store / "artifacts").glob("*/*")) == finished
    assert not list((store / "tmp").glob("*"))
    assert_whole(store)
    states = {stage: state for stage, state, _ in finish(start_build(store, settings))}
    assert states == {
        stage: "cached" if stage in finished else "built" for stage in ("numbers", "total", "report")
    }
