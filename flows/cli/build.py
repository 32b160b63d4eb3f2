"""`worldgen build`, `worldgen plan` and `worldgen settings`."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.checkout import adopt_environment
from worldgen_core.names import DeviceName, GameName, ModelName, ProfileName

if TYPE_CHECKING:
    from flows.building import Recipe
    from tasks.publish import Summary
    from tasks.steps import PlannedStage
    from worldgen_core.config import Config

VERBOSE: ContextVar[bool] = ContextVar("verbose", default=False)

Game = Annotated[GameName, typer.Argument(help="Which game.")]
Profile = Annotated[ProfileName, typer.Option(help="How big everything is.")]
Model = Annotated[
    ModelName | None,
    typer.Option(help="Which architecture; by default the one that plays best (paper: the published)."),
]
Seed = Annotated[int, typer.Option(min=0, help="Every stage's randomness derives from it.")]
Device = Annotated[DeviceName, typer.Option(help="Where to work; auto takes the best one here.")]
Set = Annotated[list[str], typer.Option("--set", help="A setting: section.name=value. May be repeated.")]
Force = Annotated[list[str], typer.Option(help="A stage to run although it is fresh. May be repeated.")]
Data = Annotated[
    str, typer.Option(help="A folder of videos and action files; for games that have no simulator.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("build")(build)
    app.command("plan")(plan)
    app.command("settings")(settings)


def build(
    game: Game,
    profile: Profile = "laptop",
    model: Model = None,
    seed: Seed = 0,
    device: Device = "auto",
    data: Data = "auto",
    set_: Set = [],  # noqa: B006  # typer copies it
    force: Force = [],  # noqa: B006  # typer copies it
) -> None:
    """Run a recipe; stages that are fresh do not run again."""
    from flows.cli.server import ensure_server

    config = resolve(game, profile, model, seed, device, set_, data=data)
    ui_url = ensure_server()
    quiet_prefect()
    console = Console(soft_wrap=True, highlight=False)
    from flows.games import recipe_of
    from worldgen_core.overrides import parse_assignments

    name, recipe, flow = recipe_of(game)
    check_plan(name, recipe, config, force)
    console.print(
        f"{name}: profile {profile}, model {config.model}, seed {seed}, device {config.train.loop.device}"
    )
    if config.sources:
        console.print(config.footage)
    asked = {"data": data} if config.sources else {}
    overrides = parse_assignments(set_)
    result = flow(
        profile=profile,
        model=config.model,
        seed=seed,
        device=device,
        overrides=overrides,
        force=force,
        **asked,
    )
    print_summary(console, result.summary, ui_url)


def plan(
    game: Game,
    profile: Profile = "laptop",
    model: Model = None,
    seed: Seed = 0,
    device: Device = "auto",
    data: Data = "auto",
    set_: Set = [],  # noqa: B006  # typer copies it
    force: Force = [],  # noqa: B006  # typer copies it
    as_json: AsJson = False,
) -> None:
    """Say what a build would run, and why; runs nothing."""
    from flows.games import recipe_of

    config = resolve(game, profile, model, seed, device, set_, data=data)
    name, recipe, _ = recipe_of(game)
    lines = check_plan(name, recipe, config, force)
    if as_json:
        stages = [{"stage": line.stage, "state": line.state, "reasons": list(line.reasons)} for line in lines]
        typer.echo(json.dumps({"recipe": name, "stages": stages}, indent=2, ensure_ascii=False))
        return
    title = f"{name} ({profile}, {config.model}{', ' + config.footage if config.footage else ''})"
    table = Table("stage", "state", "reasons", title=title, title_justify="left")
    styles = {"fresh": "green", "stale": "yellow", "not needed": "dim"}
    for line in lines:
        table.add_row(line.stage, line.state, "\n".join(line.reasons), style=styles[line.state])
    Console().print(table)


def settings(
    game: Game,
    profile: Profile = "laptop",
    model: Model = None,
    set_: Set = [],  # noqa: B006  # typer copies it
) -> None:
    """Print every setting with its value, as JSON."""
    typer.echo(json.dumps(resolve(game, profile, model, 0, "auto", set_).model_dump(mode="json"), indent=2))


def resolve(
    game: GameName,
    profile: ProfileName,
    model: ModelName | None,
    seed: int,
    device: DeviceName,
    assignments: list[str],
    *,
    data: str = "auto",
) -> Config:
    """Assemble the configuration that the words of a command line mean."""
    from worldgen_core.config import make_config
    from worldgen_core.overrides import parse_assignments

    return make_config(
        game,
        profile,
        model=model,
        seed=seed,
        device=device,
        data=data,
        overrides=parse_assignments(assignments),
    )


def check_plan(name: str, recipe: Recipe, config: Config, force: list[str]) -> list[PlannedStage]:
    """Make the plan; forced stages that do not exist are an error here, before anything runs."""
    from flows.building import plan as make_plan

    return make_plan(recipe, config, name=name, forced=force)


def quiet_prefect() -> None:
    """Keep Prefect's log lines off the terminal; they are in the UI, with the run.

    Comes after `ensure_server`: a server and worker that it starts inherit the environment, and must log.
    """
    if not VERBOSE.get():
        adopt_environment({"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"})
        logging.getLogger("prefect").propagate = False


def print_summary(console: Console, summary: Summary, ui_url: str) -> None:
    """Print what a build did, where things are, and what to type next."""
    from tasks.publish import format_seconds

    table = Table("stage", "state", "time", "key figure", title=summary.recipe, title_justify="left")
    styles = {"built": "bold", "cached": "green", "not needed": "dim"}
    for row in summary.rows:
        table.add_row(
            row.stage, row.state, format_seconds(row.seconds), row.headline, style=styles[row.state]
        )
    console.print(table)
    places = {**summary.places, "Prefect UI": ui_url}
    width = max(map(len, places))
    for what, where in places.items():
        console.print(f"{what:<{width}}  {where}")
    console.print("\nnext:")
    for command in summary.next_commands:
        console.print(f"  {command}")
