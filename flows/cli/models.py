"""`worldgen models`: how big every model is at every profile, and what it costs a frame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from flows.cli.build import AsJson
from flows.cli.tables import print_whole

if TYPE_CHECKING:
    from worldgen_core.sizes.records import ModelSize, PartSize

NumActions = Annotated[int, typer.Option(min=1, max=10_000, help="Actions of the game.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(models)


def models(num_actions: NumActions = 2, as_json: AsJson = False) -> None:
    """Print every model at every size: parameters by part, FLOPs and evaluations a frame, memory."""
    from worldgen_core.sizes.table import model_sizes

    sizes = model_sizes(num_actions)
    if as_json:
        typer.echo(json.dumps([size.model_dump(mode="json") for size in sizes], indent=2))
        return
    print_whole(_table(sizes, num_actions))
    Console(highlight=False).print(
        "Memory: weights and the largest intermediate results as float32, batch of one. A multiplication and"
        " an addition count as two FLOPs.\nPublished: parameters in the authors' own code, for this number of"
        " actions."
    )


def _table(sizes: list[ModelSize], num_actions: int) -> Table:
    title = f"models, {num_actions} actions; runs (of a part) and GFLOP are those of a frame"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    table.add_column("part", no_wrap=True)
    for name in ("parameters", "published", "runs", "GFLOP", "memory"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for size in sizes:
        lines = [size.model, size.profile, f"{size.height}x{size.width}"]
        lines += [""] * (len(size.parts) + 1 - len(lines))
        for index, part in enumerate(size.parts):
            table.add_row(lines[index], *_part_cells(part))
        table.add_row(
            " ".join(lines[len(size.parts) :]).rstrip(),
            "total",
            f"{size.num_parameters:,}",
            "",
            "",
            _giga(size.flops_per_frame),
            f"{size.memory_bytes / 1e6:,.1f} MB",
            style="bold",
            end_section=True,
        )
    return table


def _part_cells(part: PartSize) -> tuple[str, ...]:
    published = part.published_parameters
    if published is None:
        shown = "-"
    else:
        difference = part.num_parameters - published
        shown = "the same" if difference == 0 else f"{published:,} ({difference:+,})"
    flops = part.num_evaluations * part.flops_per_evaluation
    return part.name, f"{part.num_parameters:,}", shown, str(part.num_evaluations), _giga(flops)


def _giga(flops: int) -> str:
    return f"{flops / 1e9:,.3f}"
