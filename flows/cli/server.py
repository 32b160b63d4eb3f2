"""`worldgen up`, `down` and `status`: the checkout's own Prefect server, its worker and its deployments.

The server listens on 127.0.0.1 only and keeps its SQLite database, logs and process records in the checkout's
Prefect home. Without an asked port it takes the first free one from 4200 on and says which; an asked port
(`--port`, WORLDGEN_PORT) that is taken is an error. Nothing is stopped that was not started here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

from flows.cli.checkout import HOST, Checkout, adopt_environment, find_checkout, show_library_logs
from flows.cli.interrupts import termination_as_exit, undisturbed
from flows.cli.ports import asked_port, free_port
from flows.cli.processes import Background, Record
from flows.cli.server_api import ServerApi, ServerError
from flows.cli.zombies import crash, crash_silent_runs, ensure_automation, find_unfinished
from storage.locks import hold_lock
from worldgen_core.errors import ConfigError

WORK_POOL = "worldgen"
START_TIMEOUT_S = 1800.0  # of a machine whose cores are all taken; Ctrl-C ends it at any time
SAY_EVERY_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """What runs in a checkout."""

    ui_url: str | None
    """Address of the UI, or None if no server runs."""
    is_healthy: bool
    is_worker_running: bool


def up(port: int | None = None, *, checkout: Checkout | None = None, say: Say = typer.echo) -> str:
    """Start what is not yet running, register the deployments, and return the UI's address.

    Raises: ConfigError, ServerError. If it fails, by Ctrl-C too, what this call had started is stopped.
    """
    here = checkout or find_checkout()
    here.check_settings_file()
    with hold_lock(here.home / "up.lock", on_wait=_wait_for_other(say)), _all_or_nothing() as started:
        record = _start_server(here, port, started, say)
        api = ServerApi(_api_url(record))
        _configure(here, api)
        worker = _start_worker(here, api, started)
        names = _register(here, api, say)
        _wait(lambda: api.is_worker_online(WORK_POOL, since=worker.started), _worker(here), "worker", say)
        here.write_settings(api.url)
    say(f"Prefect UI: {_ui_url(record)}")
    say(f"Deployments: {', '.join(names)}")
    say(f"Next: prefect deployment run {names[0]} --watch (worldgen down stops the server)")
    return _ui_url(record)


def down(*, checkout: Checkout | None = None, say: Say = typer.echo) -> None:
    """Stop the worker (and the runs it carries) and the server, if they were started here."""
    here = checkout or find_checkout()
    with hold_lock(here.home / "up.lock", on_wait=_wait_for_other(say)), undisturbed():
        try:
            stopped = _stop_worker(here, say)
        finally:
            was_running = _server(here).stop()
    stopped += ["server"] if was_running else []
    say(f"Stopped: {', '.join(stopped)}" if stopped else "Nothing was running")


def status(*, checkout: Checkout | None = None) -> Status:
    """Tell what runs, without changing anything."""
    here = checkout or find_checkout()
    record = _server(here).record()
    if record is None:
        return Status(None, is_healthy=False, is_worker_running=_worker(here).record() is not None)
    return Status(
        _ui_url(record),
        is_healthy=ServerApi(_api_url(record)).is_healthy(),
        is_worker_running=_worker(here).record() is not None,
    )


def ensure_server(*, checkout: Checkout | None = None, say: Say = typer.echo) -> str:
    """Make this process talk to a running server, starting one as `up` does; return the UI's address.

    A server that PREFECT_API_URL names is used as it is. Call this before the first `import prefect`.
    """
    foreign = os.environ.get("PREFECT_API_URL")
    here = checkout or find_checkout()
    record = _server(here).record()
    if foreign and (record is None or foreign != _api_url(record)):
        if not ServerApi(foreign).is_healthy():
            raise _foreign_url(foreign, "a server that answers there", "none")
        show_library_logs()
        return foreign.removesuffix("/api")
    if record is None or not ServerApi(_api_url(record)).is_healthy():
        say("No Prefect server runs here yet: starting one, so that this run is in its history")
        ui_url = up(checkout=here, say=say)
    else:
        ui_url = _ui_url(record)
    adopt_environment(here.environment(f"{ui_url}/api"))
    return ui_url


def _start_server(here: Checkout, port: int | None, started: list[Background], say: Say) -> Record:
    server = _server(here)
    record = server.record()
    foreign = os.environ.get("PREFECT_API_URL")
    if foreign and (record is None or foreign != _api_url(record)):
        raise _foreign_url(foreign, "no such variable, as a server of this checkout starts", repr(foreign))
    asked = asked_port(port)
    if record is None:
        is_first = not (here.home / "prefect.db").exists()
        record = _launch_server(here, free_port(asked), started)
        hint = " (the first time it sets up its database: about half a minute)" if is_first else ""
        say(f"Starting the Prefect server on {_ui_url(record)}{hint}")
    elif asked not in (None, record.port):
        raise ConfigError(
            f"port {asked}",
            expected=f"port {record.port}, where this checkout's server already runs",
            found=f"port {asked}",
            next_step=f"worldgen down, then worldgen up --port {asked}",
        )
    api = ServerApi(_api_url(record))
    _wait(api.is_healthy, server, "server", say)
    if server in started:
        for name in crash_silent_runs(api):
            say(f"The run {name} was killed while no server ran; it is marked Crashed")
    return record


def _launch_server(here: Checkout, port: int, started: list[Background]) -> Record:
    variables = here.environment(f"http://{HOST}:{port}/api") | {"PREFECT_CLI_PROMPT": "false"}
    command = _prefect("server", "start", "--host", HOST, "--port", str(port))
    return _launch(_server(here), command, here.root, variables, started, port)


def _start_worker(here: Checkout, api: ServerApi, started: list[Background]) -> Record:
    worker = _worker(here)
    record = worker.record()
    if record is not None:
        return record
    variables = here.environment(api.url) | {
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "3",
    }
    command = _prefect(
        "worker", "start", "--pool", WORK_POOL, "--type", "process", "--install-policy", "never"
    )
    return _launch(worker, command, here.root, variables, started, None)


def _stop_worker(here: Checkout, say: Say) -> list[str]:
    """Stop the worker, and tell the server that the runs it carried have ended; return what was stopped."""
    record = _server(here).record()
    api = None if record is None else ServerApi(_api_url(record))
    if api is None or not api.is_healthy():
        return ["worker"] if _worker(here).stop() else []
    carried = find_unfinished(api, work_pool=WORK_POOL)
    if not _worker(here).stop():
        return []
    for run in carried:
        crash(api, run, "worldgen down stopped its worker")
        say(f"Stopped the run {run['name']}: run it again, what was finished is kept")
    return ["worker"]


def _launch(
    background: Background,
    command: Sequence[str],
    cwd: Path,
    variables: dict[str, str],
    started: list[Background],
    port: int | None,
) -> Record:
    with undisturbed():
        started.append(background)
        return background.start(command, cwd=cwd, variables=variables, port=port)


def _configure(here: Checkout, api: ServerApi) -> None:
    """Set up on the server what prefect.yaml needs to be there: pool, slots, and the end of killed runs."""
    api.ensure_work_pool(WORK_POOL)
    for name, slots in _read_yaml(here).get("definitions", {}).get("slots", {}).items():
        api.ensure_slots(name, slots)
    ensure_automation(api)


def _register(here: Checkout, api: ServerApi, say: Say) -> list[str]:
    """Register every deployment of prefect.yaml and make sure that each can be called by its bare name."""
    say("Registering the deployments of prefect.yaml")
    log = here.home / "logs" / "deploy.log"
    exit_code = _deploy(here, api, log)
    if exit_code and "503 Service Unavailable" in log.read_text(errors="replace"):
        say("  the server is busy: once more")
        exit_code = _deploy(here, api, log)
    names = [deployment["name"] for deployment in _read_yaml(here)["deployments"]]
    missing = [name for name in names if not api.has_deployment(name)]
    if exit_code or missing:
        raise ServerError(
            f"{here.root / 'prefect.yaml'}",
            expected="deployments that register, each with a flow of the same name",
            found=f"exit code {exit_code}, missing: {', '.join(missing) or 'none'}",
            next_step=f"read {log}",
        )
    return names


def _deploy(here: Checkout, api: ServerApi, log: Path) -> int:
    variables = here.environment(api.url) | {"PREFECT_CLI_PROMPT": "false"}
    with log.open("wb") as output:
        return subprocess.run(
            _prefect("--no-prompt", "deploy", "--all"),
            cwd=here.root,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def _read_yaml(here: Checkout) -> dict[str, Any]:
    return yaml.safe_load((here.root / "prefect.yaml").read_text())


def _wait(is_ready: Callable[[], bool], background: Background, what: str, say: Say) -> None:
    """Wait until something that was started answers, and say now and then that it is still on its way."""
    begun = time.monotonic()
    said = begun
    while not is_ready():
        now = time.monotonic()
        if background.record() is None or now - begun > START_TIMEOUT_S:
            has_ended = background.record() is None
            raise ServerError(
                f"the Prefect {what}",
                expected=f"an answer within {START_TIMEOUT_S:.0f} s",
                found=f"{'it ended' if has_ended else 'none'}: {background.last_log_line()}",
                next_step=f"read {background.log_file}, then worldgen down and worldgen up",
            )
        if now - said >= SAY_EVERY_S:
            say(f"  the {what} is starting, {now - begun:.0f} s")
            said = now
        time.sleep(0.25)


@contextmanager
def _all_or_nothing() -> Generator[list[Background]]:
    """Stop what was started inside the block if it does not end well."""
    started: list[Background] = []
    with termination_as_exit():
        try:
            yield started
        except BaseException:
            with undisturbed():
                for background in reversed(started):
                    background.stop()
            raise


def _foreign_url(url: str, expected: str, found: str) -> ConfigError:
    return ConfigError(
        f"PREFECT_API_URL={url}", expected=expected, found=found, next_step="unset PREFECT_API_URL"
    )


def _prefect(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _server(here: Checkout) -> Background:
    return Background("server", here.home)


def _worker(here: Checkout) -> Background:
    return Background("worker", here.home)


def _ui_url(record: Record) -> str:
    return f"http://{HOST}:{record.port}"


def _api_url(record: Record) -> str:
    return f"{_ui_url(record)}/api"


def _wait_for_other(say: Say) -> Callable[[str], None]:
    return lambda holder: say(f"Another worldgen up or down is at work ({holder}): waiting")
