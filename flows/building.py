"""Running a recipe: plan first, then the stages, then the champion pointer and the summary.

What a person sees comes from manifests, so a build whose stages are all cached shows the same pictures and
figures.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from flows.learning import Learned, is_promoted
from storage.artifacts import ArtifactStore
from storage.champions import Champion, newest_champion, promote, read_champion
from storage.location import open_store
from storage.manifest import ArtifactRef, Manifest
from tasks.publish import (
    PlanRow,
    Summary,
    SummaryRow,
    publish_card,
    publish_plan,
    publish_stage,
    publish_summary,
)
from tasks.steps import PlannedStage, Planner, Runner, RunStage, Steps, check_forced, earlier_refs
from tasks.workers import task_runner_of
from worldgen_core.config import Config, make_config
from worldgen_core.device import choose_device
from worldgen_core.overrides import assignments
from worldgen_core.video.footage import AUTO

logger = logging.getLogger(__name__)

Recipe = Callable[[Config, Steps], Learned]


@dataclass(frozen=True)
class BuildResult:
    """What a build did and where things are."""

    recipe: str
    stages: tuple[RunStage, ...]
    learned: Learned
    promoted: bool
    """Whether the model is the champion now."""
    summary: Summary


def plan(recipe: Recipe, config: Config, *, name: str, forced: Sequence[str] = ()) -> list[PlannedStage]:
    """Say for each stage whether it is fresh, and why not; runs and writes nothing."""
    store = open_store()
    planner = Planner(store, earlier_refs(store, name, config.variant), forced)
    learned = recipe(config, planner)
    check_forced(forced, [line.stage for line in planner.stages])
    return [replace(line, stage=_title(line, line.key, learned)) for line in planner.stages]


def build(recipe: Recipe, config: Config, *, recipe_name: str, forced: Sequence[str] = ()) -> BuildResult:
    """Run the stages that are stale, promote the model if it is better, and say what happened."""
    lines = plan(recipe, config, name=recipe_name, forced=forced)
    rows = [PlanRow(line.stage, line.state, line.reasons) for line in lines]
    publish_plan(recipe_name, rows, about=config.footage)
    store = open_store()
    store.clear_leftovers()
    about = [config.footage] if config.footage else []
    logger.info("%s: %s", recipe_name, ", ".join([*about, f"device {config.train.loop.device}"]))
    runner = Runner(
        store,
        recipe=recipe_name,
        variant=config.variant,
        forced=forced,
        on_stage=_show_cached(store),
        task_runner=task_runner_of(config.slices.workers, config.slices.num_workers),
    )
    learned = recipe(config, runner)
    promoted = is_promoted(learned.decision) and promote(store.root, _champion(config, learned))
    summary = make_summary(recipe_name, config, runner.done, learned, promoted=promoted)
    _show(store, summary, learned)
    return BuildResult(recipe_name, tuple(runner.done), learned, promoted, summary)


def make_summary(
    recipe_name: str, config: Config, done: Sequence[RunStage], learned: Learned, *, promoted: bool
) -> Summary:
    """Collect what each stage did, where things are, and what to type next."""
    store = open_store()
    report, model = store.path(learned.report), store.path(learned.model)
    return Summary(
        recipe=recipe_name,
        rows=[
            SummaryRow(
                _title(line, line.manifest.key if line.manifest else None, learned),
                line.state,
                None if line.manifest is None else line.seconds,
                line.manifest.headline if line.manifest else line.reason,
            )
            for line in done
        ],
        places={
            "truth and dream side by side": str(report / "sample.gif"),
            "report": str(report / "report.md"),
            "weights": str(model / "model.safetensors"),
            "model card": str(store.path(learned.decision) / "README.md"),
            "champion": _standing(learned, promoted=promoted),
        },
        next_commands=next_commands(recipe_name, config, learned.model),
        pictures=_pictures(store.manifest(learned.report), report),
    )


def _title(line: PlannedStage | RunStage, key: str | None, learned: Learned) -> str:
    """A stage's name in tables, which tells units and the two evaluations apart."""
    if line.unit:
        return f"{line.stage} ({line.unit})"
    is_incumbent = line.stage == learned.report.stage and key != learned.report.key
    return f"{line.stage} (incumbent)" if is_incumbent else line.stage


def _standing(learned: Learned, *, promoted: bool) -> str:
    if promoted:
        return "yes"
    return "no longer: it was replaced" if is_promoted(learned.decision) else "no: see the model card"


def next_commands(recipe_name: str, config: Config, model: ArtifactRef) -> list[str]:
    """Commands that mean this very build and its model, whichever model is the champion."""
    artifact = f"{model.stage}/{model.key[:12]}"
    commands = [
        f"worldgen play {config.game}{_model_to_play(config, model, artifact)}",
        f"worldgen sample {config.game} --model {artifact}",
        f"worldgen artifacts lineage {artifact}",
    ]
    if recipe_name == f"build-{config.game}":
        commands.append(f"worldgen plan {config.game} {_arguments(config)}")
    return commands


def _model_to_play(config: Config, model: ArtifactRef, artifact: str) -> str:
    """No option where `worldgen play` takes this very model by itself."""
    champion = read_champion(open_store().root, config.game, config.dataset_name)
    if champion is None or champion.model.digest != model.digest:
        return f" --model {artifact}"
    newest = newest_champion(open_store().root, config.game)
    return "" if newest == champion else f" --dataset {config.dataset_name}"


def _arguments(config: Config) -> str:
    """The options of `worldgen build` that give these settings."""
    device = config.train.loop.device
    plain = make_config(
        config.game, config.profile, model=config.model, seed=config.seed, device=device, data=config.data
    )
    words = ["--profile", config.profile, "--model", config.model]
    words += ["--seed", str(config.seed)] if config.seed else []
    words += ["--device", device] if device != choose_device("auto").type else []
    words += ["--data", config.data] if config.data != AUTO else []
    for assignment in assignments(plain.model_dump(mode="json"), config.model_dump(mode="json")):
        words += ["--set", assignment]
    return shlex.join(words)


def _champion(config: Config, learned: Learned) -> Champion:
    return Champion(
        game=config.game,
        dataset_name=config.dataset_name,
        model=learned.model,
        report=learned.report,
        decision=learned.decision,
        promoted_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _show_cached(store: ArtifactStore) -> Callable[[RunStage], None]:
    """A stage that runs shows itself; a cached one is shown here, from its manifest."""

    def show(line: RunStage) -> None:
        if line.state == "cached" and line.manifest is not None:
            publish_stage(line.manifest, store.path(line.manifest.ref))

    return show


def _show(store: ArtifactStore, summary: Summary, learned: Learned) -> None:
    card = store.path(learned.decision) / "README.md"
    publish_card(summary.recipe, card.read_text(), summary.pictures)
    publish_summary(summary)


def _pictures(manifest: Manifest, folder: Path) -> dict[str, Path]:
    return {name: folder / name for name in manifest.figures}
