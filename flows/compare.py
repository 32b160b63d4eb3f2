"""The recipe `compare`: several models on one dataset, each at its size of one profile, in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import flow

from flows.building import BuildResult
from flows.games import recipe_of
from storage.location import open_store
from tasks.publish import publish_card
from worldgen_core.config import FOOTAGE_GAMES, Overrides, make_config
from worldgen_core.evaluation.comparison import Entrant, Row, as_markdown, compare
from worldgen_core.names import DeviceName, GameName, ModelName, ProfileName

RECIPE = "compare"
TRAININGS = (
    *("train_upsampler", "train_autoencoder", "encode_latents", "finetune_decoder", "distil_decoder"),
    *("train_model", "attach_decoder"),
)


@dataclass(frozen=True)
class Comparison:
    """The table, and the sample strip of every model."""

    models: tuple[ModelName, ...]
    rows: tuple[Row, ...]
    markdown: str
    strips: dict[str, Path]


@flow(name=RECIPE, flow_run_name="{game}-{profile}")
def compare_models(
    game: GameName = "flappy",
    profile: ProfileName = "laptop",
    models: Sequence[ModelName] | None = None,
    data: str = "auto",
    seed: int = 0,
    device: DeviceName = "auto",
    overrides: Overrides = Overrides(),  # noqa: B008  # frozen, and Prefect's form needs the default
) -> Comparison:
    """Build several models of one game on the same data, and put their figures side by side.

    Args:
        game: Which game.
        profile: How big everything is; a model's steps are those of the profile.
        models: Which architectures; empty for the two that a CPU has time for besides the best one.
        data: A folder of videos with action files, for games that are known from footage.
        seed: Every stage's randomness derives from it.
        device: Where to train; a named device that is missing is an error.
        overrides: Single settings on top of the profile; leave empty for the profile's own.
    """
    _, _, build = recipe_of(game)
    if game in FOOTAGE_GAMES:
        asked = {"data": data}
    else:
        make_config(game, profile, data=data)  # refuses footage of a game that is played here
        asked = {}
    chosen = tuple(models or _usual(game))
    results = [
        build(profile=profile, model=model, seed=seed, device=device, overrides=overrides, **asked)
        for model in chosen
    ]
    entrants = [_entrant(model, result) for model, result in zip(chosen, results, strict=True)]
    rows = compare(entrants)
    markdown = as_markdown(entrants, rows)
    strips = {
        model: open_store().path(result.learned.report) / "filmstrip.png"
        for model, result in zip(chosen, results, strict=True)
    }
    publish_card(f"{RECIPE}-{game}", f"# {game}, profile {profile}\n\n{markdown}", dict(strips))
    return Comparison(chosen, tuple(rows), markdown, strips)


def _usual(game: GameName) -> tuple[ModelName, ...]:
    best: tuple[ModelName, ...] = ("layered",) if game in FOOTAGE_GAMES else ()
    return (*best, "direct", "diamond-vae", "diamond-ae")


def _entrant(model: ModelName, result: BuildResult) -> Entrant:
    manifests = {line.stage: line.manifest for line in result.stages if line.manifest is not None}
    report = json.loads((open_store().path(result.learned.report) / "report.json").read_text())
    trainings = [manifests[stage] for stage in TRAININGS if stage in manifests]
    benchmark = manifests["benchmark"]
    training_s = sum(float(manifest.notes["seconds"]) for manifest in trainings)
    return Entrant(model, report, benchmark.notes, benchmark.metrics, training_s)
