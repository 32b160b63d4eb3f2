"""The stores of the smoke tests: each file's models are built once, in a store of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from storage.artifacts import ArtifactStore
from tests.e2e.smoke import Built


@pytest.fixture(scope="module")
def built(
    request: pytest.FixtureRequest, prefect_server: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """A store with the builds that the file's BUILDS names: name → arguments of `build_flappy`."""
    from flows.flappy import build_flappy

    builds: dict[str, dict[str, Any]] = request.module.BUILDS
    root = tmp_path_factory.mktemp("smoke") / "store"
    before = os.environ.get("WORLDGEN_STORE", "")
    os.environ["WORLDGEN_STORE"] = str(root)
    results: dict[str, Any] = {}
    for name, arguments in builds.items():
        results[name] = build_flappy(profile="smoke", **arguments)
    yield Built(ArtifactStore(root), results)
    os.environ["WORLDGEN_STORE"] = before
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def store(built: Built, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """The file's store, which is also where commands look."""
    monkeypatch.setenv("WORLDGEN_STORE", str(built.store.root))
    return built.store
