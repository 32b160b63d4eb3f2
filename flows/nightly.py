"""The recipe `nightly-retrain`: take what is new, train on from the champion, promote if better."""

from __future__ import annotations

import json
import logging
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict

from flows.building import BuildResult, build
from flows.datasets import dataset_of
from flows.learning import Learned, architecture_of, keep, learn
from flows.news import trained_on, whats_new
from storage.artifacts import ArtifactStore
from storage.atomic import write_bytes
from storage.champions import Champion, require_champion
from storage.location import open_store
from storage.manifest import ArtifactRef
from tasks.steps import Steps
from worldgen_core.agents.settings import DatasetName
from worldgen_core.config import FOOTAGE_GAMES, Config, Overrides, make_config
from worldgen_core.names import DeviceName, GameName, ProfileName
from worldgen_core.video.footage import AUTO, choose_footage

RECIPE = "nightly-retrain"
NOTHING_NEW = "nothing new since the champion was trained"

logger = logging.getLogger(__name__)


class Night(BaseModel):
    """One line of the record of nights: what was new, what was tried and how it ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    round: int
    new: tuple[str, ...]
    """What the champion had not been trained on; empty for a night without news."""
    champion_before: ArtifactRef
    candidate: ArtifactRef
    """The champion itself in a night without news."""
    promoted: bool
    reasons: tuple[str, ...]
    finished_at: str


def _run_name() -> str:
    """The run's name says which dataset it is about."""
    given = flow_run.parameters
    name = given["dataset_name"]
    if name is None and given["game"] in FOOTAGE_GAMES:
        name = choose_footage(given["game"], given["data"]).dataset_name
    return "-".join(filter(None, (given["game"], given["profile"], name)))


@flow(name=RECIPE, flow_run_name=_run_name)
def nightly_retrain(
    game: GameName = "flappy",
    profile: ProfileName = "laptop",
    data: str = AUTO,
    dataset_name: DatasetName | None = None,
    device: DeviceName = "auto",
    overrides: Overrides = Overrides(),  # noqa: B008  # frozen, and Prefect's form needs the default
) -> BuildResult:
    """Take what is new, train on from the champion's weights, and promote only if that is better.

    New are the videos that were added to the folder; for a game that is played here, one more capture round
    with the next seeds. Champion and candidate are measured on the same held-out episodes. A night without
    news trains nothing. Every night is recorded with its reasons in refs/GAME/DATASET/nights.jsonl.

    Args:
        game: Whose champion to train on.
        profile: How big everything is; the profile that built the champion.
        data: A folder of videos with action files, for games known from footage; auto as in build-pokemon.
        dataset_name: Which dataset's champion; by default the folder's name, or the profile's dataset.
        device: Where to train; a named device that is missing is an error.
        overrides: Single settings on top of the profile; those that the champion was built with.
    """
    store = open_store()
    wanted = overrides.model_dump(exclude_unset=True)
    if dataset_name is not None:
        wanted = _merged(wanted, {name: {"dataset_name": dataset_name} for name in ("capture", "slices")})
    config = make_config(game, profile, device=device, data=data, overrides=wanted)
    champion = require_champion(store.root, game, config.dataset_name, build=_build_command(config))
    path = _record_path(store.root, game, config.dataset_name)
    number = 1 + len(path.read_text().splitlines()) if path.is_file() else 1
    config = _night_config(config, store, champion, wanted, number)
    news: list[tuple[str, ...]] = []

    def night(config: Config, call: Steps) -> Learned:
        dataset = dataset_of(config, call)
        news.append(whats_new(store, champion, dataset))
        if not news[-1]:
            return keep(config, champion, dataset, call, reason=NOTHING_NEW)
        return learn(config, dataset, call, start=champion.model, incumbent=champion)

    result = build(night, config, recipe_name=RECIPE)
    _record(path, store, number, champion, result, news[-1])
    return result


def _night_config(
    config: Config, store: ArtifactStore, champion: Champion, wanted: dict[str, Any], number: int
) -> Config:
    """The settings with the champion's architecture and the next capture round.

    The seed is that of the champion's dataset: another one would hold out other episodes, some of which the
    champion was trained on.
    """
    dataset = trained_on(store, champion)
    return make_config(
        config.game,
        config.profile,
        model=architecture_of(champion),
        seed=dataset.key_parts.settings["seed"] if dataset else config.seed,
        device=config.train.loop.device,
        data=config.data,
        overrides=_merged(wanted, {"capture": {"round": number}}),
    )


def _merged(changes: dict[str, Any], more: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {**changes, **{name: {**(changes.get(name) or {}), **values} for name, values in more.items()}}


def _build_command(config: Config) -> str:
    """What builds the first champion of this configuration's dataset."""
    words = ["worldgen", "build", config.game, "--profile", config.profile]
    return shlex.join([*words, "--data", config.data] if config.data != AUTO else words)


def _record_path(root: Path, game: str, dataset_name: str) -> Path:
    return root / "refs" / game / dataset_name / "nights.jsonl"


def _record(
    path: Path,
    store: ArtifactStore,
    number: int,
    champion: Champion,
    result: BuildResult,
    news: tuple[str, ...],
) -> None:
    decision = store.path(result.learned.decision) / "decision.json"
    night = Night(
        round=number,
        new=news,
        champion_before=champion.model,
        candidate=result.learned.model,
        promoted=result.promoted and result.learned.model != champion.model,
        reasons=tuple(json.loads(decision.read_text())["reasons"]) if news else (NOTHING_NEW,),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    news_in_words = "; ".join(news) or "nothing"
    logger.info("new: %s; promoted: %s, since: %s", news_in_words, night.promoted, " ".join(night.reasons))
    before = path.read_bytes() if path.is_file() else b""
    write_bytes(path, before + night.model_dump_json().encode() + b"\n")
