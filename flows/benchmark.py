"""The recipe `benchmark-champion`: frames a second, memory and size of a game's champion."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.learning import architecture_of
from storage.champions import require_champion
from storage.location import open_store
from tasks.benchmark import benchmark
from tasks.publish import publish_stage
from tasks.steps import Runner
from worldgen_core.agents.settings import DatasetName
from worldgen_core.config import make_config
from worldgen_core.names import DeviceName, GameName, ProfileName

RECIPE = "benchmark-champion"


@flow(name=RECIPE, flow_run_name="{game}-{device}")
def benchmark_champion(
    game: GameName = "flappy",
    profile: ProfileName = "laptop",
    dataset_name: DatasetName | None = None,
    device: DeviceName = "auto",
    repeat: bool = True,
) -> dict[str, Any]:
    """Measure the champion's speed, memory and size on this machine.

    Args:
        game: Whose champion to measure.
        profile: How long to measure.
        dataset_name: Which dataset's champion; by default the one that was promoted last.
        device: Where to measure; a named device that is missing is an error.
        repeat: Measure again although figures of this model are in the store.
    """
    store = open_store()
    champion = require_champion(store.root, game, dataset_name)
    config = make_config(game, profile, model=architecture_of(champion), device=device)
    runner = Runner(store, recipe=RECIPE, variant=profile, forced=["benchmark"] if repeat else [])
    ref = runner(benchmark, config.benchmark, model=champion.model)
    manifest = store.manifest(ref)
    publish_stage(manifest, store.path(ref))
    return {"champion": champion.model.digest, **manifest.metrics, **manifest.notes}
