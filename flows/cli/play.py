"""`worldgen play`: open a browser tab and the network is the game."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

from flows.cli.build import Device, Game
from flows.cli.finding import find_model, find_options
from flows.cli.studio import Dataset
from worldgen_core.names import BackendChoice

_TOKEN_BYTES = 18


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("play")(play)


def play(
    game: Game = "flappy",
    model: Annotated[
        str, typer.Option("--model", help="A model's artifact; default: the champion, else the newest.")
    ] = "",
    dataset: Dataset = None,
    device: Device = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for a phone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser tab.")] = True,
    players: Annotated[int, typer.Option(min=1, max=64, help="Players at once; others wait.")] = 2,
    models: Annotated[int, typer.Option(min=2, max=64, help="Models in memory at once, at most.")] = 3,
    threads: Annotated[int, typer.Option(min=1, max=64, help="CPU threads of a step.")] = 1,
    backend: Annotated[
        BackendChoice,
        typer.Option(help="What computes the frames; auto: the fastest, measured at a model's first start."),
    ] = "auto",
) -> None:
    """Play a world model in the browser, with the true game one key away where there is one."""
    found = find_model(game, dataset, model)
    with _loading(f"loading {found.standing}: {found.model}"):
        # The libraries take seconds too.
        from worldgen_core.play.serve import listen, serve
        from worldgen_core.play.server import make_app
        from worldgen_core.play.settings import LOCAL_HOSTS, ServerSettings
        from worldgen_core.play.theatre import open_theatre

        token = None if host in LOCAL_HOSTS else secrets.token_urlsafe(_TOKEN_BYTES)
        settings = ServerSettings(host=host, port=port, token=token, max_players=players, max_models=models)
        listener = listen(settings)
        options = find_options(found)
        theatre = open_theatre(
            options,
            found.dataset,
            device=device,
            backend=backend,
            threads=threads,
            max_models=settings.max_models,
            say=typer.echo,
        )
    about = theatre.about_first
    typer.echo(
        f"  {about['name']}, {about['parameters'] / 1e6:.1f}M parameters, on {about['device']} by "
        f"{about['backend']}; {len(options) - 1} other models to switch to"
    )
    url = address(host, listener.getsockname()[1], token)

    def ready() -> None:
        typer.echo(f"play at {url}   (Ctrl-C ends it)")
        if browser:
            typer.launch(url)

    serve(make_app(theatre, settings), listener, settings, on_ready=ready)


@contextmanager
def _loading(what: str) -> Generator[None]:
    """Say what is loading, and in the end how long it took; on a terminal, the seconds so far."""
    began = time.monotonic()
    typer.echo(what)
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(), TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    )
    with bar:
        bar.add_task(what, total=None)
        yield
    typer.echo(f"  loaded in {time.monotonic() - began:.1f} s")


def address(host: str, port: int, token: str | None) -> str:
    """The URL to open; for all addresses of this machine, the one by which others reach it."""
    if host in ("0.0.0.0", "::"):
        host = _own_address()
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def _own_address() -> str:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only asks which of this machine's addresses faces the others.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
