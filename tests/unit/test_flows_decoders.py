"""Decoders in a recipe: another decoder leaves latents and world model as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flows.cli.finding import find_model
from flows.learning import Learned, learn
from flows.news import trained_on
from storage.artifacts import ArtifactStore
from storage.champions import Champion
from storage.manifest import ArtifactRef
from tasks.capture import capture
from tasks.steps import PlannedStage, Planner, Steps
from tests.unit.test_artifacts import publish
from worldgen_core.config import Config, make_config
from worldgen_core.models.card import ModelCard

LATENTS = ("train_autoencoder", "encode_latents")
MEASURED = ("evaluate", "benchmark", "publish")
CARD = ModelCard(
    model="diamond-vae",
    game="flappy",
    action_names=("idle", "flap"),
    height=8,
    width=8,
    fps=30.0,
    settings={},
    num_parameters={},
    dataset={"name": "smoke"},
    training={},
    weights_sha256={},
)


class Built:
    """Steps that publish a file under each stage's true key, as a build would, without any work."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store

    def __call__(self, stage: Any, settings: BaseModel, /, **inputs: ArtifactRef | None) -> ArtifactRef:
        given = {name: ref for name, ref in inputs.items() if ref is not None}
        parts = stage.key_parts(settings, given)
        files = {"made": parts.key.encode(), "model.json": CARD.model_dump_json().encode()}
        return publish(self.store, parts, files).ref

    def each(
        self, stage: Any, units: Mapping[str, BaseModel], /, **inputs: ArtifactRef | None
    ) -> dict[str, ArtifactRef]:
        return {unit: self(stage, settings, **inputs) for unit, settings in units.items()}

    def not_needed(self, stage: Any, reason: str) -> None:
        pass


def config(**changes: object) -> Config:
    return make_config("flappy", "smoke", model="diamond-vae", device="cpu", overrides=changes)


def recipe(config: Config, call: Steps) -> Learned:
    return learn(config, call(capture, config.capture), call)


def plan(store: ArtifactStore, earlier: Learned, **changes: object) -> dict[str, PlannedStage]:
    planner = Planner(store, [earlier.model])
    recipe(config(**changes), planner)
    return {line.stage: line for line in planner.stages}


def stale(lines: Mapping[str, PlannedStage]) -> set[str]:
    return {name for name, line in lines.items() if line.state == "stale"}


def on(**changes: object) -> dict[str, object]:
    return {"is_on": True, **changes}


@pytest.fixture
def store(store_root: Path) -> ArtifactStore:
    return ArtifactStore(store_root)


def test_without_them_the_plan_says_how_to_ask_for_them(store: ArtifactStore) -> None:
    built = recipe(config(), Built(store))
    assert built.model.stage == "train_model"
    lines = plan(store, built)
    assert stale(lines) == set()
    for name in ("finetune_decoder", "distil_decoder"):
        assert lines[name].state == "not needed"
        assert lines[name].reasons == (f"{name}.is_on is false",)
    assert lines["attach_decoder"].state == "not needed"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, set()),
        ({}, {"finetune_decoder": on()}, {"finetune_decoder", "attach_decoder", *MEASURED}),
        ({}, {"distil_decoder": on()}, {"distil_decoder", "attach_decoder", *MEASURED}),
        (
            {"distil_decoder": on()},
            {"distil_decoder": on(num_steps=7)},
            {"distil_decoder", "attach_decoder", *MEASURED},
        ),
        (
            {"finetune_decoder": on(), "distil_decoder": on()},
            {"finetune_decoder": on(num_steps=7), "distil_decoder": on()},
            {"finetune_decoder", "distil_decoder", "attach_decoder", *MEASURED},
        ),
        ({"finetune_decoder": on()}, {}, set(MEASURED)),
        (
            {"distil_decoder": on()},
            {"distil_decoder": on(), "attach_decoder": {"max_loss_db": 2}},
            {"attach_decoder", *MEASURED},
        ),
        (
            {"distil_decoder": on()},
            {"distil_decoder": on(), "diamond_vae": {"loop": {"ema_decay": 0.5}}},
            {"train_model", "attach_decoder", *MEASURED},
        ),
        (
            {"distil_decoder": on()},
            {"distil_decoder": on(), "autoencoder": {"num_steps": 7}},
            {*LATENTS, "distil_decoder", "train_model", "attach_decoder", *MEASURED},
        ),
    ],
)
def test_only_what_a_decoder_changes_is_made_again(
    store: ArtifactStore, before: dict[str, Any], after: dict[str, Any], expected: set[str]
) -> None:
    built = recipe(config(**before), Built(store))
    assert stale(plan(store, built, **before)) == set()
    assert stale(plan(store, built, **after)) == expected


def test_a_model_with_another_decoder_is_the_newest_and_leads_to_its_dataset(store: ArtifactStore) -> None:
    built = recipe(config(distil_decoder=on()), Built(store))
    assert built.model.stage == "attach_decoder"
    [dataset] = store.manifests("capture")
    found = find_model("flappy", None, "")
    assert (found.model, found.dataset) == (store.path(built.model), store.path(dataset.ref))
    champion = Champion(
        game="flappy",
        dataset_name="smoke",
        model=built.model,
        report=built.report,
        decision=built.decision,
        promoted_at="t",
    )
    assert trained_on(store, champion) == dataset
