"""prefect.yaml on a real server: registered, scheduled, and run by name through a real worker."""

from __future__ import annotations

import os
import signal
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest
import yaml
from PIL import Image
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import BaseModel

from tasks.slots import device_slot
from tests.integration.conftest import PROJECT, Site, eventually, start_sleeper, state_of

NAMES = ["build-flappy", "build-pokemon", "nightly-retrain", "compare", "benchmark", "benchmark-champion"]


def test_prefect_yaml_names_each_deployment_like_its_flow(site: Site) -> None:
    declared = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    assert [deployment["name"] for deployment in declared] == NAMES
    for name in NAMES:
        found = site.api.get(f"/deployments/name/{name}/{name}")
        assert found["work_pool_name"] == "worldgen"
        assert found["global_concurrency_limit"]["limit"] == 1
        assert found["path"] is None or Path(found["path"]).is_absolute()


class OnGpu(BaseModel):
    device: str = "cuda"


def test_work_on_a_gpu_has_one_slot(site: Site) -> None:
    limit = site.api.get("/v2/concurrency_limits/gpu")
    assert (limit["limit"], limit["active"]) == (1, True)
    with temporary_settings({PREFECT_API_URL: site.api.url}), device_slot(OnGpu()):
        assert site.api.get("/v2/concurrency_limits/gpu")["active_slots"] == 1
    assert site.api.get("/v2/concurrency_limits/gpu")["active_slots"] == 0


def test_flow_parameters_are_typed_so_that_the_ui_shows_a_form(site: Site) -> None:
    schema = site.api.get("/deployments/name/nightly-retrain/nightly-retrain")["parameter_openapi_schema"]
    assert schema["properties"]["game"]["default"] == "flappy"
    schema = site.api.get("/deployments/name/build-flappy/build-flappy")["parameter_openapi_schema"]
    assert schema["properties"]["profile"]["enum"] == ["smoke", "laptop", "paper"]
    assert schema["properties"]["seed"]["type"] == "integer"


def test_a_scheduled_nightly_run_exists_at_local_night(site: Site) -> None:
    runs = eventually(lambda: site.runs_of("nightly-retrain"))
    assert {run["state_type"] for run in runs} == {"SCHEDULED"}
    starts = [datetime.fromisoformat(run["expected_start_time"]) for run in runs]
    local = {start.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M") for start in starts}
    assert local == {"02:30"}
    assert runs[0]["parameters"]["game"] == "flappy"


def test_a_deployment_runs_by_its_bare_name_with_parameters(site: Site, tmp_path: Path) -> None:
    out, picture = tmp_path / "sum.txt", tmp_path / "picture.png"
    Image.new("RGB", (32, 32), "red").save(picture)
    parameters = ["-p", "left=20", "-p", "right=22", "-p", f"out={out}", "-p", f"picture={picture}"]
    result = site.prefect("deployment", "run", "toy-sum", *parameters, "--watch")
    assert result.returncode == 0, result.stdout + result.stderr
    assert out.read_text() == "42"
    run = site.runs_of("toy-sum")[0]
    assert run["state_name"] == "Completed"
    logs = site.api.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})
    assert "added 20 and 22" in {log["message"] for log in logs if log["name"] == "worldgen_core.toy"}
    query = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
    shown = {artifact["key"]: artifact for artifact in site.api.post("/artifacts/filter", query)}
    assert set(shown) == {"toy-sum-plan", "toy-card", "toy-sum-summary", "add-adding-progress"}
    assert shown["add-adding-progress"]["data"] == 100
    assert shown["add-adding-progress"]["task_run_id"] is not None
    assert "![a picture](data:image/png;base64," in shown["toy-card"]["data"]


def test_a_deployment_runs_as_typed_without_anything_else(site: Site) -> None:
    before = len(site.runs_of("toy-sum"))
    result = site.prefect("deployment", "run", "toy-sum")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "toy-sum/toy-sum" in result.stdout
    assert len(site.runs_of("toy-sum")) == before + 1
    eventually(lambda: site.runs_of("toy-sum")[0]["state_name"] == "Completed")


def test_an_unknown_name_is_prefects_own_error(site: Site) -> None:
    result = site.prefect("deployment", "run", "build-tetris")
    assert result.returncode == 1
    assert "build-tetris" in result.stdout + result.stderr


def test_one_night_at_a_time_and_a_killed_one_gives_its_place_back(site: Site, tmp_path: Path) -> None:
    """CANCEL_NEW while one runs; the worker sees a killed process at once."""
    first, pid = start_sleeper(site, tmp_path / "first")
    deployment = site.api.get("/deployments/name/toy-sleep/toy-sleep")
    second = site.api.post(
        f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"out": str(tmp_path / "second")}}
    )["id"]
    eventually(lambda: state_of(site, second)["type"] == "CANCELLED")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: state_of(site, first)["type"] == "CRASHED")
    deployment = site.api.get("/deployments/name/toy-sleep/toy-sleep")
    assert deployment["global_concurrency_limit"]["active_slots"] == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_with_its_worker_is_crashed_by_its_silence(site: Site, tmp_path: Path) -> None:
    run_id, pid = start_sleeper(site, tmp_path / "sleeper")
    worker = next(parent for parent in psutil.Process(pid).parents() if "worker" in parent.cmdline())
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()
    assert state_of(site, run_id)["type"] == "RUNNING"
    eventually(lambda: state_of(site, run_id)["type"] == "CRASHED", timeout_s=400)
    assert "No sign of life" in state_of(site, run_id)["message"]
    site.up()
    _, pid = start_sleeper(site, tmp_path / "again")
    os.kill(pid, signal.SIGKILL)
