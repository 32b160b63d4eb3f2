"""`worldgen up`, `down` and `status`: idempotent, clear about ports, and clean after Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.cli import ports, zombies
from flows.cli.checkout import HOST
from flows.cli.processes import Record
from flows.cli.server import status, up
from flows.cli.server_api import ServerError
from tests.integration.conftest import (
    PROJECT,
    Site,
    bare_environment,
    eventually,
    make_checkout,
    start_sleeper,
    state_of,
    unused_port,
)
from worldgen_core.errors import ConfigError


def record(site: Site, name: str) -> Record:
    return Record.model_validate(json.loads((site.checkout.home / f"{name}.json").read_text()))


def test_up_says_where_the_ui_is_and_what_to_type(site: Site) -> None:
    said = "\n".join(site.said)
    assert "the first time it sets up its database" in said
    assert f"Prefect UI: http://127.0.0.1:{site.port}" in said
    assert "prefect deployment run build-flappy" in said
    found = status(checkout=site.checkout)
    assert (found.ui_url, found.is_healthy, found.is_worker_running) == (
        f"http://127.0.0.1:{site.port}",
        True,
        True,
    )


def test_up_again_changes_nothing(site: Site) -> None:
    before = [record(site, "server"), record(site, "worker")]
    said = site.up()
    assert [record(site, "server"), record(site, "worker")] == before
    assert not any(line.startswith("Starting") for line in said)


def test_the_server_listens_on_this_machine_only(site: Site) -> None:
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(record(site, "server").pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == [HOST]


def test_another_port_than_the_running_one_is_an_error(site: Site) -> None:
    with pytest.raises(ConfigError, match=rf"port {site.port}.*worldgen down"):
        site.up(unused_port())


def test_ensure_server_uses_the_running_one(site: Site) -> None:
    code = (
        "from flows.cli.server import ensure_server; print(ensure_server());"
        "from prefect.settings import get_current_settings as s; print(s().api.url)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=site.checkout.root,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    url = f"http://127.0.0.1:{site.port}"
    assert result.stdout.split() == [url, f"{url}/api"]


@pytest.mark.slow
def test_up_after_down_finds_the_history_of_before(site: Site, tmp_path: Path) -> None:
    run_id, _ = start_sleeper(site, tmp_path / "sleeper")
    site.down()
    said = site.up()
    assert "the first time" not in "".join(said)
    assert state_of(site, run_id)["type"] == "CRASHED"
    assert "worldgen down" in state_of(site, run_id)["message"]


@pytest.mark.slow
def test_what_was_killed_with_the_server_is_marked_at_the_next_up(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, pid = start_sleeper(site, tmp_path / "sleeper")
    family = [
        psutil.Process(number) for number in (record(site, "server").pid, record(site, "worker").pid, pid)
    ]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=20)
    monkeypatch.setattr(zombies, "SILENCE_S", 1)
    said = site.up()
    assert any("killed while no server ran" in line for line in said)
    assert state_of(site, run_id)["type"] == "CRASHED"


def test_down_ends_what_runs(site: Site, tmp_path: Path) -> None:
    """The last test here that needs the server."""
    _, pid = start_sleeper(site, tmp_path / "sleeper")
    pids = [record(site, "server").pid, record(site, "worker").pid, pid]
    said = site.down()
    assert said[-1] == "Stopped: worker, server"
    assert any(line.startswith("Stopped the run") for line in said)
    assert not any(psutil.pid_exists(number) for number in pids)
    assert site.down() == ["Nothing was running"]
    assert status(checkout=site.checkout).ui_url is None
    result = site.prefect("deployment", "run", "toy-sum")
    assert result.returncode == 1
    assert "worldgen up" in result.stderr


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        yield other.getsockname()[1]


def test_an_asked_port_that_is_taken_is_an_error_that_names_it(
    taken_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make_checkout(tmp_path / "checkout")
    with pytest.raises(ConfigError, match=rf"port {taken_port}.*another program.*--port"):
        up(taken_port, checkout=here)
    monkeypatch.setenv("WORLDGEN_PORT", str(taken_port))
    with pytest.raises(ConfigError, match=rf"port {taken_port}.*WORLDGEN_PORT"):
        up(checkout=here)
    assert not here.settings_file.exists()


def test_without_an_asked_port_the_next_free_one_is_taken(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "PORTS", range(taken_port, taken_port + 50))
    assert taken_port < ports.free_port(None) < taken_port + 50
    monkeypatch.setattr(ports, "PORTS", range(taken_port, taken_port + 1))
    with pytest.raises(ConfigError, match=rf"ports {taken_port} to {taken_port}.*--port"):
        ports.free_port(None)


@pytest.mark.parametrize("port", [0, 70000, -1])
def test_an_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match="1 to 65535"):
        ports.free_port(port)


def test_a_port_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDGEN_PORT", "http")
    with pytest.raises(ConfigError, match=r"WORLDGEN_PORT.*'http'"):
        ports.asked_port(None)


def test_a_server_named_in_the_environment_is_not_fought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    with pytest.raises(ConfigError, match=r"PREFECT_API_URL.*unset"):
        up(unused_port(), checkout=make_checkout(tmp_path / "checkout"))


def test_somebody_elses_settings_file_is_not_overwritten(tmp_path: Path) -> None:
    here = make_checkout(tmp_path / "checkout")
    here.settings_file.write_text("[api]\n")
    with pytest.raises(ConfigError, match=r"prefect\.toml"):
        up(unused_port(), checkout=here)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing_running(number: signal.Signals, tmp_path: Path) -> None:
    here = make_checkout(tmp_path / "checkout")
    code = f"from flows.cli.server import up; up({unused_port()})"
    environment = {**bare_environment(), "PYTHONPATH": f"{PROJECT}:{os.environ.get('PYTHONPATH', '')}"}
    starting = subprocess.Popen(
        [sys.executable, "-c", code], cwd=here.root, env=environment, stderr=subprocess.DEVNULL
    )
    file = here.home / "server.json"
    eventually(lambda: file.exists())
    server = Record.model_validate(json.loads(file.read_text()))
    assert psutil.pid_exists(server.pid)
    starting.send_signal(number)
    assert starting.wait(120) != 0
    assert not psutil.pid_exists(server.pid)
    assert not file.exists()
    assert not here.settings_file.exists()


def test_a_server_that_does_not_start_names_its_log(tmp_path: Path) -> None:
    here = make_checkout(tmp_path / "checkout")
    here.home.mkdir(parents=True)
    (here.home / "prefect.db").write_bytes(b"this is no database, and no server can use it" * 100)
    with pytest.raises(ServerError, match=r"it ended.*server\.log") as caught:
        up(unused_port(), checkout=here, say=lambda _text: None)
    log = here.home / "logs" / "server.log"
    assert str(log) in str(caught.value)
    assert "file is not a database" in log.read_text()
    assert status(checkout=here).ui_url is None
