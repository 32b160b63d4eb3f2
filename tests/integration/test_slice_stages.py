"""A video is a unit: what is new or changed is sliced, and nothing else; in threads or on Dask workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from storage.artifacts import ArtifactStore
from storage.clips import ClipReader
from storage.location import open_store
from tasks.slice_video import slice_video
from tasks.slice_videos import slice_videos
from tasks.steps import Planner, Runner, Steps, earlier_refs
from tasks.workers import task_runner_of
from worldgen_core.video.footage import Footage, resolve_sources
from worldgen_core.video.sample_settings import SampleSettings
from worldgen_core.video.samples import make_sample
from worldgen_core.video.settings import SliceSettings

RECIPE = "build-slices"
SLICES = SliceSettings(game="overworld", episode_frames=100, gap_frames=20)

MakeRunner = Callable[[], TaskRunner[Any]]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "videos"
    make_sample(folder, num_videos=2, num_frames=600)
    return folder


@pytest.fixture
def folder(sample: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample, tmp_path / "videos"))


def recipe(folder: Path, call: Steps) -> None:
    sources = resolve_sources(Footage(folder, "overworld", "test"), SLICES, SampleSettings())
    parts = call.each(slice_video, {source.source: source for source in sources})
    call(slice_videos, SLICES, **parts)


def build(folder: Path, task_runner: MakeRunner = ThreadPoolTaskRunner) -> dict[str, str]:
    @flow(name=RECIPE)
    def build_slices() -> dict[str, str]:
        runner = Runner(open_store(), recipe=RECIPE, variant="test", task_runner=task_runner)
        recipe(folder, runner)
        return {line.unit or line.stage: line.state for line in runner.done}

    return build_slices()


def plan(folder: Path) -> dict[str, tuple[str, ...]]:
    store = open_store()
    planner = Planner(store, earlier_refs(store, RECIPE, "test"))
    recipe(folder, planner)
    return {line.unit or line.stage: line.reasons for line in planner.stages if line.state == "stale"}


def test_only_what_is_new_or_changed_is_sliced(prefect_server: None, folder: Path) -> None:
    assert build(folder) == {"town-1": "built", "town-2": "built", "slice_videos": "built"}
    assert plan(folder) == {}
    assert build(folder) == {"town-1": "cached", "town-2": "cached", "slice_videos": "cached"}

    shutil.copy(folder / "town-1.mp4", folder / "village.mp4")
    shutil.copy(folder / "town-1.txt", folder / "village.txt")
    lines = (folder / "town-2.txt").read_text().splitlines()
    (folder / "town-2.txt").write_text("\n".join([*lines[:-1], "start"]) + "\n")
    reasons = plan(folder)
    assert reasons["town-2"] == ("input: changed labels town-2.txt",)
    assert reasons["village"] == ("never built",)
    assert "town-1" not in reasons
    built = build(folder)
    assert built == {"town-1": "cached", "town-2": "built", "village": "built", "slice_videos": "built"}


@pytest.mark.slow  # Dask leaves threads in this process, which disturb the tests after it
def test_the_same_code_runs_on_dask_workers(prefect_server: None, folder: Path, store_root: Path) -> None:
    assert build(folder, task_runner_of("dask", 2)) == {
        "town-1": "built",
        "town-2": "built",
        "slice_videos": "built",
    }
    store = ArtifactStore(store_root)
    joined = next(store.manifests("slice_videos"))
    names = {row.episode_id for row in ClipReader(store.path(joined.ref)).episodes()}
    assert {name.partition("-0")[0] for name in names} == {"town-1", "town-2"}
    assert build(folder)["town-1"] == "cached"
