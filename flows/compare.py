"""The recipe `compare`: several models on one dataset with one budget, in one table and one picture.

The budget is in operations, and not in seconds: a training stays a function of its settings, and a machine
that is busy does not make its model worse (docs/decisions/0012).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from prefect import flow

from flows.building import BuildResult
from flows.games import recipe_of
from storage.location import open_store
from tasks.publish import publish_card
from tasks.side_by_side import side_by_side_of
from tasks.steps import Runner
from worldgen_core.config import FOOTAGE_GAMES, Config, Overrides, make_config
from worldgen_core.evaluation.comparison import Entrant, Row, as_markdown, compare
from worldgen_core.names import DeviceName, GameName, ModelName, ProfileName
from worldgen_core.overrides import deep_merge

RECIPE = "compare"
DATASET_STAGES = ("capture", "slice_videos")
TRAININGS = (
    *("train_upsampler", "train_autoencoder", "encode_latents", "finetune_decoder", "distil_decoder"),
    *("train_model", "attach_decoder"),
)


@dataclass(frozen=True)
class Comparison:
    """The table, the picture of all models side by side, and the sample strip of each."""

    models: tuple[ModelName, ...]
    rows: tuple[Row, ...]
    markdown: str
    picture: Path
    strips: dict[str, Path]


@flow(name=RECIPE, flow_run_name="{game}-{profile}")
def compare_models(
    game: GameName = "flappy",
    profile: ProfileName = "laptop",
    models: Sequence[ModelName] | None = None,
    data: str = "auto",
    seed: int = 0,
    device: DeviceName = "auto",
    budget: float | None = None,
    overrides: Overrides = Overrides(),  # noqa: B008  # frozen, and Prefect's form needs the default
) -> Comparison:
    """Build several models of one game on the same data, and put their figures side by side.

    Args:
        game: Which game.
        profile: How big everything is.
        models: Which architectures; empty for all that the game has.
        data: A folder of videos with action files, for games that are known from footage.
        seed: Every stage's randomness derives from it.
        device: Where to train; a named device that is missing is an error.
        budget: What every model's trainings may take, in TFLOP; empty for what `direct` takes at the profile,
            0 for each model's own steps of the profile.
        overrides: Single settings on top of the profile; leave empty for the profile's own.
    """
    name, _, build = recipe_of(game)
    if game in FOOTAGE_GAMES:
        asked = {"data": data}
    else:
        make_config(game, profile, data=data)  # refuses footage of a game that is played here
        asked = {}
    chosen = tuple(models or _all_models(game))
    given = overrides.model_dump(exclude_unset=True)

    def config_of(model: ModelName, changes: Mapping[str, Any]) -> Config:
        return make_config(game, profile, model=model, seed=seed, device=device, data=data, overrides=changes)

    budget_flops = 1e12 * budget if budget is not None else _usual_budget(config_of("direct", given))
    changes = {model: _within(config_of(model, given), given, budget_flops) for model in chosen}
    results = [
        build(
            profile=profile,
            model=model,
            seed=seed,
            device=device,
            overrides=Overrides(**changes[model]),
            **asked,
        )
        for model in chosen
    ]
    configs = [config_of(model, changes[model]) for model in chosen]
    entrants = [_entrant(config, result) for config, result in zip(configs, results, strict=True)]
    rows = compare(entrants)
    markdown = as_markdown(entrants, rows)
    picture = _side_by_side(name, configs[0], dict(zip(chosen, results, strict=True)))
    strips = {
        model: open_store().path(result.learned.report) / "filmstrip.png"
        for model, result in zip(chosen, results, strict=True)
    }
    shown = {"side by side: the same start, the same actions": picture, **strips}
    publish_card(f"{RECIPE}-{game}", f"# {game}, profile {profile}\n\n{markdown}", shown)
    return Comparison(chosen, tuple(rows), markdown, picture, strips)


def _usual_budget(config: Config) -> float:
    from worldgen_core.sizes.training import training_flops

    return float(sum(training_flops(config).values()))


def _within(config: Config, given: dict[str, Any], budget_flops: float) -> dict[str, Any]:
    """The overrides that were given, with steps that keep to the budget; 0 leaves the steps as they are."""
    from worldgen_core.sizes.budget import within_budget

    return deep_merge(given, within_budget(config, budget_flops)) if budget_flops else given


def _side_by_side(recipe: str, config: Config, results: Mapping[ModelName, BuildResult]) -> Path:
    """The picture of all models, as a stage: its inputs are the models and their dataset."""
    store = open_store()
    runner = Runner(store, recipe=RECIPE, variant=f"{recipe}/{config.profile}")
    stages = next(iter(results.values())).stages
    dataset = next(
        line.manifest.ref for line in stages if line.stage in DATASET_STAGES and line.manifest is not None
    )
    stage = side_by_side_of(tuple(results))
    models = {model: result.learned.model for model, result in results.items()}
    ref = runner(stage, config.evaluate, dataset=dataset, **models)
    return store.path(ref) / "side_by_side.png"


def _all_models(game: GameName) -> tuple[ModelName, ...]:
    """Every architecture; `layered` learns from footage alone."""
    return tuple(model for model in get_args(ModelName) if model != "layered" or game in FOOTAGE_GAMES)


def _entrant(config: Config, result: BuildResult) -> Entrant:
    from worldgen_core.sizes.training import training_flops

    manifests = {line.stage: line.manifest for line in result.stages if line.manifest is not None}
    report = json.loads((open_store().path(result.learned.report) / "report.json").read_text())
    trainings = [manifests[stage] for stage in TRAININGS if stage in manifests]
    benchmark = manifests["benchmark"]
    return Entrant(
        config.model,
        report,
        benchmark.notes,
        benchmark.metrics,
        training_s=sum(float(manifest.notes["seconds"]) for manifest in trainings),
        training_flops=sum(training_flops(config).values()),
    )
