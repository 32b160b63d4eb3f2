"""`worldgen up` and `worldgen down`."""

from __future__ import annotations

from typing import Annotated

import typer

Port = Annotated[
    int | None,
    typer.Option(envvar="WORLDGEN_PORT", help="Port to listen on; default: a free one from 4200 on."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)


def up(port: Port = None) -> None:
    """Start the local Prefect server and a worker, and register the deployments."""
    from flows.cli.server import up as start

    start(port)


def down() -> None:
    """Stop the server and the worker that `worldgen up` started."""
    from flows.cli.server import down as stop

    stop()


def status() -> None:
    """Say whether server and worker run, and where."""
    from flows.cli.server import status as ask

    found = ask()
    server = f"server  {found.ui_url}" if found.ui_url else "server  not running (worldgen up starts it)"
    typer.echo(server + ("" if found.is_healthy or not found.ui_url else "  (does not answer)"))
    typer.echo(f"worker  {'running' if found.is_worker_running else 'not running'}")
