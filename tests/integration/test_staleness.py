"""The golden test of staleness: after each change, exactly the stages that could differ run again.

Runs a toy recipe through the project's own decorator, on a copy of the toy's code that the test may change.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import ArtifactStore
from storage.errors import TransientError
from storage.location import open_store
from storage.manifest import Manifest
from storage.remote import RemoteMirror
from tests.toy import recipe

pytestmark = pytest.mark.usefixtures("prefect_server")

ALL = ["numbers", "total", "report"]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private copy of the toy's core."""
    copy = tmp_path / "code"
    shutil.copytree(Path(recipe.__file__).parent / "core", copy)
    monkeypatch.setattr(recipe, "CODE", copy)
    monkeypatch.setattr(recipe, "STAGES", recipe.make_stages())
    monkeypatch.syspath_prepend(copy)
    return copy / "toy_core"


@pytest.fixture
def store(code: Path) -> ArtifactStore:
    assert rebuilt() == ALL
    assert rebuilt() == []
    return open_store()


def rebuilt(settings: dict[str, Any] | None = None, force: list[str] | None = None) -> list[str]:
    """Build, and name the stages that ran; the plan made just before must have said the same or more."""
    planned = [line.stage for line in recipe.plan_toy(settings) if line.state == "stale"]
    ran = [stage for stage, state, _ in recipe.build_toy(settings, force) if state == "built"]
    assert set(ran) <= {*planned, *(force or [])}
    return ran


def reasons(settings: dict[str, Any] | None = None) -> dict[str, tuple[str, ...]]:
    return {line.stage: line.reasons for line in recipe.plan_toy(settings)}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_plan_of_an_empty_store_runs_and_writes_nothing(code: Path, store_root: Path) -> None:
    assert {line.state for line in recipe.plan_toy()} == {"stale"}
    assert reasons()["numbers"] == ("never built",)
    assert not store_root.exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("helper.py", "value * factor", "value * factor + 1", ["total", "report"]),
        ("helper.py", "value * factor", "factor * value", ["total"]),
        ("helper.py", "value * factor", "value * factor  # a comment", []),
        ("helper.py", '"""A helper two imports away from the stage."""', '"""Another docstring."""', []),
        ("settings.py", "class ReportSettings", "UNUSED = 1\n\n\nclass ReportSettings", []),
        ("numbers.py", "randrange(1000)", "randrange(77)", ALL),
        ("report.py", "% 2", "% 3", ["report"]),
    ],
)
def test_code_changes(
    store: ArtifactStore, code: Path, file: str, old: str, new: str, expected: list[str]
) -> None:
    edit(code / file, old, new)
    stale = {stage for stage, why in reasons().items() if why}
    assert set(expected) <= stale
    if expected:
        assert reasons()[expected[0]] == (f"code: toy_core/{file}",)
    assert rebuilt() == expected
    assert rebuilt() == []


def test_changed_setting_names_old_and_new(store: ArtifactStore) -> None:
    settings = {"total": {"factor": 3}}
    assert reasons(settings) == {
        "numbers": (),
        "total": ("total.factor 2 → 3",),
        "report": ("input: total is to be made by total",),
    }
    assert rebuilt(settings) == ["total", "report"]
    assert rebuilt() == []


def test_setting_of_the_first_stage_ripples_until_bytes_are_equal(store: ArtifactStore) -> None:
    assert rebuilt({"numbers": {"unit_sleep_s": 0.001}}) == ["numbers"]


def test_library_version(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    fake: Callable[[str], str] = lambda name: "99.0" if name == "pydantic" else real(name)  # noqa: E731
    monkeypatch.setattr(importlib.metadata, "version", fake)
    assert reasons()["report"] == (f"library: pydantic {real('pydantic')} → 99.0",)
    assert rebuilt() == ["report"]


@pytest.mark.parametrize("damage", ["byte", "deleted", "manifest"])
def test_damaged_artifact_is_rebuilt_alone(store: ArtifactStore, damage: str) -> None:
    folder = store.folders("numbers")[0]
    victim = folder / "numbers-3.txt"
    expected = {
        "byte": "file corrupted: numbers-3.txt",
        "deleted": "file missing: numbers-3.txt",
        "manifest": "not a readable manifest",
    }
    if damage == "byte":
        victim.write_bytes(b"7" * victim.stat().st_size)
    elif damage == "deleted":
        victim.unlink()
    else:
        (folder / "manifest.json").write_text("{")
    assert expected[damage] in reasons()["numbers"][0]
    assert rebuilt() == ["numbers"]
    assert reasons()["numbers"] == ()


def test_deleted_artifact_does_not_survive_in_prefects_records(store: ArtifactStore) -> None:
    shutil.rmtree(store.folders("total")[0])
    assert rebuilt() == ["total"]


def test_force_rebuilds_one_stage_and_equal_bytes_stop_there(store: ArtifactStore) -> None:
    assert rebuilt(force=["total"]) == ["total"]


def test_artifact_in_the_store_is_adopted_as_cached(store: ArtifactStore) -> None:
    shutil.rmtree(store.root / "prefect-results")
    assert rebuilt() == []


@pytest.fixture
def remote(code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A remote store, in a folder."""
    monkeypatch.setenv("WORLDGEN_STORE", f"file://{tmp_path}/remote")
    monkeypatch.setattr("storage.location.project_root", lambda: tmp_path / "here")
    return tmp_path / "remote" / "artifacts"


@pytest.mark.parametrize("force", [None, ["numbers"]])
def test_failed_upload_is_made_up_for_by_the_retry(
    remote: Path, monkeypatch: pytest.MonkeyPatch, force: list[str] | None
) -> None:
    push, tries = RemoteMirror.push, []

    def fail_once(self: RemoteMirror, folder: Path, name: str) -> None:
        tries.append(name)
        if len(tries) == 1:
            raise TransientError("upload", expected="a network", found="none", next_step="again")
        push(self, folder, name)

    publish, published = ArtifactStore.publish, []

    def count(self: ArtifactStore, built: Path, describe: Any) -> Manifest:
        published.append(built)
        return publish(self, built, describe)

    monkeypatch.setattr(RemoteMirror, "push", fail_once)
    monkeypatch.setattr(ArtifactStore, "publish", count)
    recipe.build_toy(force=force)
    assert len(tries) == len(ALL) + 1
    assert len(published) == len(ALL), "an upload that failed is no reason to work again"
    assert sorted(path.parent.parent.name for path in remote.rglob("manifest.json")) == sorted(ALL)


def test_upload_that_a_killed_build_owes_is_made_up_for(remote: Path) -> None:
    recipe.build_toy()
    (owing,) = remote.glob("numbers/*/manifest.json")
    owing.unlink()
    mark = open_store().root / "unpushed" / "numbers" / owing.parent.name
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    assert rebuilt() == []
    assert owing.is_file()
    assert not mark.exists()


def test_plan_of_what_the_remote_store_has_downloads_nothing(remote: Path, tmp_path: Path) -> None:
    recipe.build_toy()
    shutil.rmtree(tmp_path / "here")
    assert {line.state for line in recipe.plan_toy()} == {"fresh"}
    assert not (tmp_path / "here").exists()
    assert rebuilt() == []


def test_failing_stage_leaves_nothing_half_published(code: Path, store_root: Path) -> None:
    edit(code / "total.py", "write_bytes(out / ", 'raise RuntimeError("boom")\n    write_bytes(out / ')
    with pytest.raises(RuntimeError, match="boom"):
        recipe.build_toy()
    store = open_store()
    assert [manifest.stage for manifest in store.manifests()] == ["numbers"]
    assert not list((store_root / "tmp").iterdir())


def test_error_inside_the_key_is_loud(store: ArtifactStore, code: Path) -> None:
    (code / "helper.py").write_text("def scale(:\n")
    with pytest.raises(Exception, match=r"helper\.py:1: not valid Python"):
        recipe.build_toy()
