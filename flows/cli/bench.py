"""`worldgen bench`: the speed of a game's champion, or the optimisation ladder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from flows.cli.build import AsJson, Data, Device, Profile, quiet_prefect
from flows.cli.studio import Dataset
from flows.cli.tables import figures_table, print_whole
from worldgen_core.names import GameName

if TYPE_CHECKING:
    from flows.ladder import Ladder

What = Annotated[
    Literal["flappy", "pokemon", "ladder"],
    typer.Argument(help="A game, whose champion is measured; or the optimisation ladder."),
]
Quick = Annotated[bool, typer.Option(help="Of the ladder: less exact, in a minute or two.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(bench)


def bench(
    what: What,
    profile: Profile = "laptop",
    dataset: Dataset = None,
    device: Device = "auto",
    data: Data = "auto",
    quick: Quick = False,
    as_json: AsJson = False,
) -> None:
    """Measure frames a second, latency, memory and size on this machine.

    Of a game: its champion. Of the ladder: every step from the published model to a playable one, with the
    quality of what is trained.
    """
    from flows.cli.server import ensure_server

    ensure_server(say=lambda text: typer.echo(text, err=True))
    quiet_prefect()
    if what == "ladder":
        from flows.ladder import benchmark_ladder

        found = benchmark_ladder(profile=profile, data=data, device=device, quick=quick)
        if as_json:
            typer.echo((found.folder / "ladder.json").read_text())
        else:
            _print_ladder(found)
        return
    _bench_champion(what, profile, dataset, device, as_json=as_json)


def _bench_champion(
    game: GameName, profile: Profile, dataset: Dataset, device: Device, *, as_json: bool
) -> None:
    from flows.benchmark import benchmark_champion

    figures = benchmark_champion(game=game, profile=profile, dataset_name=dataset, device=device)
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        typer.echo(f"{name:<28} {value}")


def _print_ladder(found: Ladder) -> None:
    from worldgen_core.ladder.table import HEAD, LEGEND, cells_of, missing, quality_cells

    print_whole(figures_table(HEAD, [cells_of(line) for line in found.lines]))
    if any(quality.figures for line in found.lines for quality in line.quality.values()):
        shown = [line for line in found.lines if any(one.figures for one in line.quality.values())]
        head = ("quality", *(f"{game}{what}" for game in found.games for what in (": passed", ", PSNR")))
        rows = [
            (
                line.rung.name,
                *(cell for game in found.games for cell in quality_cells(line.quality.get(game))),
            )
            for line in shown
        ]
        print_whole(figures_table(head, rows))
    console = Console(highlight=False, soft_wrap=True)
    console.print(LEGEND)
    for text in missing(found.lines):
        console.print(text, markup=False)
    for name in ("ladder.png", "ladder.json", "ladder.md"):
        console.print(str(found.folder / name), markup=False)
