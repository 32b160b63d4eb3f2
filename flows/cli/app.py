"""The command line itself: parsing, and one clear message for every error."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from flows.cli import (
    artifacts,
    backends,
    bench,
    build,
    footage,
    imports,
    models,
    play,
    server_commands,
    studio,
)
from storage.errors import WorldgenError

INTERRUPTED = 130

app = typer.Typer(
    name="worldgen",
    help="Turn recorded gameplay into a game that a neural network plays back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
server_commands.register(app)
build.register(app)
play.register(app)
studio.register(app)
backends.register(app)
bench.register(app)
models.register(app)
footage.register(app)
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(imports.app, name="import")


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option(help="Show Prefect's own log lines and tracebacks.")] = False,
) -> None:
    build.VERBOSE.set(verbose)


def run() -> None:
    """Run a command; a known error ends it with one message and status 1, Ctrl-C with 130."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app()
    except WorldgenError as error:
        errors.print(f"error: {error.what}", style="bold red", markup=False)
        errors.print(f"  expected  {error.expected}", markup=False)
        errors.print(f"  found     {error.found}", markup=False)
        errors.print(f"  next      {error.next_step}", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        _say_stopped(errors)
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer's own words for Ctrl-C
            _say_stopped(errors)
        raise


def _say_stopped(errors: Console) -> None:
    errors.print("stopped: what was finished is kept; the same command goes on from there", markup=False)
