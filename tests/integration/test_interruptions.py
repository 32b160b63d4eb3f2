"""Builds that are killed, stopped, doubled or starved leave nothing half-published; the next one finishes.

Each build is a process of its own, so that SIGKILL means what it says.
"""

from __future__ import annotations

import json
import os
import random
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


def start_build(store: Path, settings: dict[str, Any], **environment: str) -> subprocess.Popen[str]:
    from prefect.settings import PREFECT_API_URL

    return subprocess.Popen(
        [sys.executable, "-m", "tests.toy.recipe", json.dumps(settings)],
        cwd=ROOT,
        env={
            **os.environ,
            "WORLDGEN_STORE": str(store),
            "PREFECT_API_URL": PREFECT_API_URL.value(),
            "PREFECT_LOGGING_LEVEL": "ERROR",
            **environment,
        },
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
    for number, point in enumerate(points):
        build = start_build(store, SLOW)
        wait_for(store, point)
        time.sleep(random.Random(number).random() * 0.3)
        build.send_signal(signal.SIGKILL)
        build.communicate()
        assert_whole(store)
    units = {path: path.stat().st_mtime_ns for path in store.glob("artifacts/numbers/*/*.txt")}
    assert digests(finish(start_build(store, SLOW))) == undisturbed
    assert units == {path: path.stat().st_mtime_ns for path in units}
    assert_whole(store)
    assert not list((store / "tmp").iterdir()) or all(
        f"-{os.getpid()}-" not in path.name for path in (store / "tmp").iterdir()
    )


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
    build = start_build(store, SLOW)
    wait_for(store, "work/total/*/checkpoint")
    build.send_signal(signal.SIGINT)
    build.communicate(timeout=60)
    assert build.returncode != 0
    assert [manifest.stage for manifest in ArtifactStore(store).manifests()] == ["numbers"]
    assert list(store.glob("work/total/*/checkpoint"))
    assert not list((store / "tmp").iterdir())


def test_disk_that_fills_up_is_one_clear_error(tmp_path: Path) -> None:
    store = tmp_path / "full"
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "import tests.toy.recipe as toy; toy.fresh('toy_core.numbers');"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2, 2));"
        "from storage.artifacts import ArtifactStore; from pathlib import Path;"
        "from storage.atomic import write_bytes;"
        "write_bytes(Path(sys.argv[1]) / 'x', b'12345')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "StorageError: cannot write to" in done.stderr
    assert "what was finished is kept" in done.stderr
    assert not list(store.rglob("x"))
