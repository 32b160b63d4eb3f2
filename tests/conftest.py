"""Every test session has its own Prefect home and every test its own store: nothing leaks between them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_HOME = tempfile.mkdtemp(prefix="worldgen-tests-")
os.environ.update(
    PREFECT_HOME=_HOME,
    PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW="ignore",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY="false",
    DO_NOT_TRACK="1",
    OMP_NUM_THREADS="1",  # tests are small: a second thread waits longer than it works
    SDL_VIDEODRIVER="dummy",
    PYGAME_HIDE_SUPPORT_PROMPT="1",
)
os.environ.pop("PREFECT_API_URL", None)


def pytest_sessionfinish() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def store_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's own store."""
    root = tmp_path / "store"
    monkeypatch.setenv("WORLDGEN_STORE", str(root))
    return root


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One temporary Prefect API for the whole session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
