"""`worldgen sample`, `eval` and `compare`: look at models and measure them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from flows.cli.build import AsJson, Data, Device, Game, Model, Profile, Set, quiet_prefect, resolve
from flows.cli.finding import find_model
from flows.cli.tables import figures_table, print_whole
from worldgen_core.names import ModelName

if TYPE_CHECKING:
    from flows.building import BuildResult


def _dataset_name(name: str | None) -> str | None:
    if name is None:
        return None
    import re

    from worldgen_core.agents.settings import DATASET_NAME

    if not re.fullmatch(DATASET_NAME, name):
        raise typer.BadParameter(
            f"{name!r} is no name of a dataset: letters, digits, '_', then also '.', '-'."
        )
    return name


Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        callback=_dataset_name,
        help="Name of the dataset whose champion to take; default: the one promoted last.",
    ),
]


Budget = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="What every model's trainings may take, in TFLOP; default: what `direct` takes; 0: the profile's"
        " own steps for each.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("sample")(sample)
    app.command("eval")(evaluate)
    app.command("compare")(compare)


def sample(
    game: Game,
    out: Annotated[Path, typer.Option(help="File to write; .gif or .mp4.")] = Path("sample.gif"),
    frames: Annotated[int, typer.Option(min=1, max=10_000, help="Frames to play.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Which held-out game or moment to play.")] = 0,
    player: Annotated[
        str | None,
        typer.Option(help="Who plays: rule (default), idle, spam or random; recordings play themselves."),
    ] = None,
    artifact: Annotated[str, typer.Option("--model", help="A model's artifact; default: the champion.")] = "",
    dataset: Dataset = None,
) -> None:
    """Write truth and dream side by side, under the same actions, as a GIF or MP4."""
    from worldgen_core.evaluation.sample import write_sample

    found = find_model(game, dataset, artifact)
    write_sample(found.model, out, dataset=found.dataset, num_frames=frames, seed=seed, player=player)
    typer.echo(f"{out}: {frames} frames; left the game, right the dream of {found.standing}, {found.model}")


def evaluate(
    game: Game,
    profile: Profile = "laptop",
    model: Model = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="How many training seeds; the worst counts.")] = 1,
    device: Device = "auto",
    data: Data = "auto",
    set_: Set = [],  # noqa: B006  # typer copies it
    as_json: AsJson = False,
) -> None:
    """Print a model's evaluation; over several seeds, the worst of each figure.

    What is missing is built first, as `worldgen build` does: training too, and a model that turns out to be
    better becomes the champion.
    """
    from flows.cli.server import ensure_server
    from worldgen_core.evaluation.report import render_report, summarise
    from worldgen_core.overrides import parse_assignments

    config = resolve(game, profile, model, 0, device, set_, data=data)
    ensure_server(say=lambda text: typer.echo(text, err=True))
    quiet_prefect()
    from flows.games import recipe_of

    _, _, flow = recipe_of(game)
    asked = {"data": data} if config.sources else {}
    reports: list[dict[str, Any]] = []
    for seed in range(seeds):
        section = config.model.replace("-", "_")
        changes = parse_assignments([f"{section}.seed={seed}", *set_])
        result = flow(profile=profile, model=config.model, device=device, overrides=changes, **asked)
        reports.append(_read_report(result))
    report = reports[0] if seeds == 1 else summarise(reports)
    typer.echo(json.dumps(report, indent=2) if as_json else render_report(report))


def compare(
    game: Game,
    profile: Profile = "laptop",
    models: Annotated[
        str, typer.Option(help="Which models, with commas between; default: all of the game.")
    ] = "",
    device: Device = "auto",
    data: Data = "auto",
    budget: Budget = None,
    set_: Set = [],  # noqa: B006  # typer copies it
) -> None:
    """Build several models on the same data with one budget, and print their figures side by side."""
    from flows.cli.server import ensure_server
    from worldgen_core.config import Overrides
    from worldgen_core.overrides import parse_assignments

    names: list[ModelName] = [_model_name(name.strip()) for name in models.split(",") if name.strip()]
    for name in names or [None]:
        resolve(game, profile, name, 0, device, set_, data=data)
    ensure_server(say=lambda text: typer.echo(text, err=True))
    quiet_prefect()
    from flows.compare import compare_models

    overrides = Overrides(**parse_assignments(set_))
    found = compare_models(
        game=game,
        profile=profile,
        models=names or None,
        data=data,
        device=device,
        budget=budget,
        overrides=overrides,
    )
    rows = [(row.name, *row.values, row.limit) for row in found.rows]
    print_whole(figures_table(("", *found.models, "wanted"), rows))
    typer.echo(f"side by side: {found.picture}")
    for model, path in found.strips.items():
        typer.echo(f"{model}: {path}")


def _model_name(name: str) -> ModelName:
    """A model's name as it was typed, checked."""
    for known in get_args(ModelName):
        if name == known:
            return known
    raise typer.BadParameter(f"{name!r} is no model: {', '.join(get_args(ModelName))}.")


def _read_report(result: BuildResult) -> dict[str, Any]:
    """A build's report; where speed is a criterion of the game, with the speed measured on this machine."""
    from storage.location import open_store
    from worldgen_core.evaluation.report import add_speed

    report = json.loads((open_store().path(result.learned.report) / "report.json").read_text())
    notes = [line.manifest.notes for line in result.stages if line.stage == "benchmark" and line.manifest]
    return add_speed(report, notes[-1]) if notes and "frames_per_s_stretch" in notes[-1] else report
