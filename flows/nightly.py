"""The recipe `nightly-retrain`: one more round of play, train on from the champion, promote if better."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from pydantic import BaseModel, ConfigDict

from flows.building import BuildResult, build
from flows.learning import Learned, architecture_of, learn
from storage.artifacts import ArtifactStore
from storage.atomic import write_bytes
from storage.champions import Champion, require_champion
from storage.location import open_store
from storage.manifest import ArtifactRef
from tasks.capture import capture
from tasks.steps import Steps
from tasks.train_agent import train_agent
from worldgen_core.agents.settings import DatasetName
from worldgen_core.config import Config, Overrides, make_config
from worldgen_core.names import DeviceName, GameName, ProfileName

RECIPE = "nightly-retrain"


class Night(BaseModel):
    """One line of the record of nights: what was tried and how it ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    round: int
    champion_before: ArtifactRef
    candidate: ArtifactRef
    promoted: bool
    reasons: tuple[str, ...]
    finished_at: str


@flow(name=RECIPE, flow_run_name="{game}-{profile}")
def nightly_retrain(
    game: GameName = "flappy",
    profile: ProfileName = "laptop",
    dataset_name: DatasetName = "default",
    device: DeviceName = "auto",
    overrides: Overrides = Overrides(),  # noqa: B008  # frozen, and Prefect's form needs the default
) -> BuildResult:
    """Take what is new, train on from the champion's weights, and promote only if that is better.

    For a simulated game new is one more capture round, with the next seeds. Champion and candidate are
    measured on the same held-out play. Every night is recorded with its reasons in
    refs/GAME/DATASET/nights.jsonl.

    Args:
        game: Whose champion to train on.
        profile: How big everything is; the profile that built the champion.
        dataset_name: Which dataset's champion.
        device: Where to train; a named device that is missing is an error.
        overrides: Single settings on top of the profile.
    """
    store = open_store()
    champion = require_champion(store.root, game, dataset_name)
    path = _record_path(store.root, game, dataset_name)
    number = 1 + len(path.read_text().splitlines()) if path.is_file() else 1
    config = _night_config(champion, game, profile, device, overrides, number)

    def night(config: Config, call: Steps) -> Learned:
        policies = call(train_agent, config.agent)
        dataset = call(capture, config.capture, policies=policies)
        return learn(config, dataset, call, start=champion.model, incumbent=champion)

    result = build(night, config, recipe_name=RECIPE)
    _record(path, store, number, champion, result)
    return result


def _night_config(
    champion: Champion,
    game: GameName,
    profile: ProfileName,
    device: DeviceName,
    overrides: Overrides,
    number: int,
) -> Config:
    """The profile's settings with the champion's architecture and the next capture round."""
    changes = overrides.model_dump(exclude_unset=True)
    changes["capture"] = {
        **(changes.get("capture") or {}),
        "round": number,
        "dataset_name": champion.dataset_name,
    }
    model = architecture_of(champion)
    return make_config(game, profile, model=model, device=device, overrides=changes)


def _record_path(root: Path, game: str, dataset_name: str) -> Path:
    return root / "refs" / game / dataset_name / "nights.jsonl"


def _record(path: Path, store: ArtifactStore, number: int, champion: Champion, result: BuildResult) -> None:
    decision = store.path(result.learned.decision) / "decision.json"
    night = Night(
        round=number,
        champion_before=champion.model,
        candidate=result.learned.model,
        promoted=result.promoted,
        reasons=tuple(json.loads(decision.read_text())["reasons"]),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    before = path.read_bytes() if path.is_file() else b""
    write_bytes(path, before + night.model_dump_json().encode() + b"\n")
