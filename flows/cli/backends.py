"""`worldgen backends`: which way of computing a model's frames is fastest on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.build import Device, Game
from flows.cli.finding import find_model
from flows.cli.studio import Dataset


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backends")(backends)


def backends(
    game: Game = "flappy",
    model: Annotated[
        str, typer.Option("--model", help="A model's artifact; default: the champion, else the newest.")
    ] = "",
    dataset: Dataset = None,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1, max=64, help="CPU threads of a step.")] = 1,
) -> None:
    """Measure every backend that runs here, beside float32 eager in the same run, and remember the best.

    `error` is the worst of 64 frames, each from the same state; a backend whose error passes its bound is not
    used. `drift` is that of frame 64 of a dream of its own.
    """
    from worldgen_core.play.scenes import scene_of_dataset
    from worldgen_core.runtime.open import open_fast

    found = find_model(game, dataset, model)
    typer.echo(f"{found.standing}: {found.model}")
    fast = open_fast(
        found.model,
        device,
        threads=threads,
        scene_of=scene_of_dataset(found.dataset),
        measure_again=True,
        say=typer.echo,
    )
    if fast.report is None:
        typer.echo(f"{fast.backend}: this model has no networks that a backend could replace")
