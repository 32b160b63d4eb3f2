"""Where an artifact was made: a checkout that does not answer costs nobody a finished build."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tasks import provenance


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    provenance.git_commit.cache_clear()
    yield
    provenance.git_commit.cache_clear()


@pytest.mark.parametrize(
    "error",
    [
        subprocess.TimeoutExpired("git", 10),
        subprocess.CalledProcessError(128, "git"),
        FileNotFoundError("git"),
    ],
)
def test_a_git_that_fails_or_hangs_is_an_unknown_commit(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert provenance.git_commit() == "unknown"
