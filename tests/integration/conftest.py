"""One real Prefect server with a worker for the tests of deployments and of `worldgen up`.

It runs in a checkout of its own: the project's prefect.yaml with the toy deployments added, the project's
packages by symbolic links, a fresh Prefect home and a fresh store.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from flows.cli.checkout import HOST, Checkout
from flows.cli.server import down, up
from flows.cli.server_api import ServerApi

PROJECT = Path(__file__).resolve().parents[2]
TOY_DEPLOYMENTS = """
  - name: toy-sum
    entrypoint: tests/toy/flow.py:toy_sum
    work_pool: *local
    concurrency_limit: *one_waits

  - name: toy-sleep
    entrypoint: tests/toy/flow.py:toy_sleep
    work_pool: *local
    concurrency_limit: *one_skips
"""


@dataclass(frozen=True)
class Site:
    """A checkout whose server runs."""

    checkout: Checkout
    port: int
    said: list[str]

    @property
    def api(self) -> ServerApi:
        return ServerApi(f"http://{HOST}:{self.port}/api")

    def up(self, port: int | None = None) -> list[str]:
        said: list[str] = []
        up(port or self.port, checkout=self.checkout, say=said.append)
        return said

    def down(self) -> list[str]:
        said: list[str] = []
        down(checkout=self.checkout, say=said.append)
        return said

    def prefect(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type a bare `prefect` command in the checkout, with nothing prepared in the environment."""
        return subprocess.run(
            [Path(sys.executable).with_name("prefect"), *words],
            cwd=self.checkout.root,
            env=bare_environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=240,
            check=False,
        )

    def runs_of(self, deployment: str) -> list[dict[str, Any]]:
        """All runs of a deployment, the newest first."""
        query = {
            "deployments": {"name": {"any_": [deployment]}},
            "sort": "EXPECTED_START_TIME_DESC",
        }
        return self.api.post("/flow_runs/filter", query)


def bare_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def eventually(read: Callable[[], Any], *, timeout_s: float = 120.0) -> Any:
    """Return the first true answer."""
    deadline = time.monotonic() + timeout_s
    while not (answer := read()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.3)
    return answer


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def start_sleeper(site: Site, out: Path) -> tuple[str, int]:
    """Start a run that sleeps; return its id and the process id of its flow."""
    flow = site.api.get("/deployments/name/toy-sleep/toy-sleep")
    run = site.api.post(f"/deployments/{flow['id']}/create_flow_run", {"parameters": {"out": str(out)}})
    eventually(lambda: out.exists() and out.read_text())
    return run["id"], int(out.read_text())


def state_of(site: Site, run_id: str) -> dict[str, str]:
    return site.api.get(f"/flow_runs/{run_id}")["state"]


def make_checkout(root: Path) -> Checkout:
    """Lay out a checkout that holds the project's own flows and deployments, and the toy ones."""
    root.mkdir(parents=True)
    for folder in ("flows", "tests"):
        (root / folder).symlink_to(PROJECT / folder)
    shutil.copy(PROJECT / "pyproject.toml", root)
    (root / "prefect.yaml").write_text((PROJECT / "prefect.yaml").read_text() + TOY_DEPLOYMENTS)
    return Checkout(root, root / ".worldgen" / "prefect")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running server with a worker and all deployments; one for each file, as tests of one stop it."""
    assert "worldgen" in entry_points(group="prefect.plugins").names, "install the project: pip install -e ."
    root = tmp_path_factory.mktemp("site") / "checkout"
    checkout = make_checkout(root)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDGEN_STORE", str(root / "store"))
        patch.delenv("PREFECT_HOME")
        port = unused_port()
        try:
            up(port, checkout=checkout, say=said.append)
            patch.undo()
            yield Site(checkout, port, said)
        finally:
            down(checkout=checkout, say=said.append)
