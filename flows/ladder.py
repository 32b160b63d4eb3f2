"""The recipe `benchmark`: the optimisation ladder; speed, memory, size, quality of each rung in one run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from flows.games import recipe_of
from storage.artifacts import ArtifactStore
from storage.atomic import write_json
from storage.builds import read_builds
from storage.location import open_store
from storage.manifest import ArtifactRef
from tasks.ladder import ladder_quality, ladder_speed
from tasks.publish import publish_card
from tasks.steps import Runner
from worldgen_core.config import FOOTAGE_GAMES, Config, make_config
from worldgen_core.ladder.settings import LadderQualitySettings, Played, ladder_evaluation
from worldgen_core.ladder.story import ladder, quick_ladder
from worldgen_core.ladder.table import Line, Quality, as_markdown, make_table
from worldgen_core.names import DeviceName, GameName, ProfileName
from worldgen_core.video.footage import AUTO

RECIPE = "benchmark"
DATASET_STAGES = ("capture", "slice_videos")


@dataclass(frozen=True)
class Trained:
    """A trained model and its dataset."""

    model: ArtifactRef
    dataset: ArtifactRef


@dataclass(frozen=True)
class Ladder:
    """The table, and the folder with ladder.json, ladder.md and ladder.png."""

    lines: tuple[Line, ...]
    games: tuple[GameName, ...]
    markdown: str
    folder: Path


@flow(name=RECIPE, flow_run_name="ladder-{profile}-{device}")
def benchmark_ladder(
    games: Sequence[GameName] = ("flappy", "pokemon"),
    profile: ProfileName = "laptop",
    data: str = "auto",
    device: DeviceName = "auto",
    quick: bool = False,
    repeat: bool = True,
) -> Ladder:
    """Measure every step from the published model to a playable one.

    Args:
        games: Whose trained models' quality to show; what is not trained is named with its command.
        profile: The size of those models; speed is that of the published sizes.
        data: The footage that models of games known from videos were trained on.
        device: Where to measure; a named device that is missing is an error.
        quick: A minute or two: large pictures are timed small and scaled, and fewer dreams are measured.
        repeat: Measure speed again although figures of this ladder are in the store.
    """
    store = open_store()
    settings = (quick_ladder() if quick else ladder()).model_copy(update={"device": device})
    runner = Runner(
        store, recipe=RECIPE, variant=f"ladder/{profile}", forced=["ladder_speed"] if repeat else []
    )
    configs = {game: config_of(game, profile, data) for game in games}
    trained = {game: find_trained(store, config) for game, config in configs.items()}
    quality: dict[str, dict[str, Quality]] = {}
    for game in games:
        for rung in settings.rungs:
            if rung.quality is not None:
                found = _measure(runner, configs[game], rung.quality, trained[game], is_quick=quick)
                quality.setdefault(rung.name, {})[game] = found
    whole = {
        rung.name: trained[game][rung.model].model
        for game in games
        for rung in settings.rungs
        if rung.is_whole and rung.model in trained[game]
    }
    speed = runner(ladder_speed, settings, **whole)
    manifest = store.manifest(speed)
    facts = json.loads((store.path(speed) / "ladder.json").read_text())
    lines = make_table(settings, facts, manifest.notes, quality)
    found = Ladder(tuple(lines), tuple(games), as_markdown(lines, games), store.root / "reports" / "ladder")
    _show(found, manifest.machine, manifest.notes)
    return found


def config_of(game: GameName, profile: ProfileName, data: str) -> Config:
    """The settings of a game, with its footage where it is known from videos."""
    return make_config(game, profile, data=data if game in FOOTAGE_GAMES else AUTO)


def find_trained(store: ArtifactStore, config: Config) -> dict[str, Trained]:
    """The newest model of each architecture built at the profile, all on one and the same dataset.

    That dataset is the newest of its name; a model that was trained on another one is left out.
    """
    recipe, _, _ = recipe_of(config.game)
    found: dict[str, Trained] = {}
    dataset: ArtifactRef | None = None
    for record in read_builds(store.root, recipe=recipe):
        profile, _, model = record.variant.partition("/")
        of = {ref.stage: ref for ref in record.stages}
        own = next((of[stage] for stage in DATASET_STAGES if stage in of), None)
        if profile != config.profile or own is None or "train_model" not in of:
            continue
        manifest = store.look(own.stage, own.key)[0]
        name = None if manifest is None else manifest.key_parts.settings["dataset_name"]
        if name != config.dataset_name or store.look("train_model", of["train_model"].key)[0] is None:
            continue
        dataset = dataset or own
        if own.digest == dataset.digest:
            found.setdefault(model, Trained(of["train_model"], own))
    return found


def _measure(
    runner: Runner, config: Config, played: Played, trained: dict[str, Trained], *, is_quick: bool
) -> Quality:
    of = trained.get(played.model)
    if of is None:
        command = f"worldgen build {config.game} --profile {config.profile} --model {played.model}"
        return Quality(missing=f"not trained: `{command}`")
    evaluate = config.evaluate.model_copy(update={"model": played.model})
    settings = LadderQualitySettings(played=played, evaluate=ladder_evaluation(evaluate, is_quick=is_quick))
    ref = runner(ladder_quality, settings, model=of.model, dataset=of.dataset)
    return Quality(figures=dict(runner.store.manifest(ref).metrics), model=f"train_model/{of.model.key[:12]}")


def _show(found: Ladder, machine: dict[str, str], notes: dict[str, Any]) -> None:
    """Write the report's files and show them in the UI: a cached run shows its figures too."""
    from worldgen_core.ladder.plot import write_plot

    folder = found.folder
    folder.mkdir(parents=True, exist_ok=True)
    where = f"{notes['num_threads']} thread(s) of {notes['device']}, {machine['processor']}"
    write_plot(found.lines, found.games, folder / "ladder.png", title=f"The optimisation ladder, {where}")
    (folder / "ladder.md").write_text(f"# The optimisation ladder\n\n{where}\n\n{found.markdown}")
    rows = [line.model_dump(mode="json") | {"frames_per_s": line.frames_per_s} for line in found.lines]
    write_json(folder / "ladder.json", {"machine": machine, "where": where, "rungs": rows})
    publish_card("ladder", (folder / "ladder.md").read_text(), {"the ladder": folder / "ladder.png"})
