"""The shared part of recipes: what is compared with what, and which autoencoder a night trains on with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from flows.building import next_commands, plan
from flows.learning import Learned, learn
from storage.artifacts import ArtifactStore
from storage.champions import Champion, promote
from storage.errors import StorageError
from storage.manifest import ArtifactRef
from tasks.capture import capture
from tasks.stage import Stage
from tasks.steps import Planner, Steps
from tests.unit.test_artifacts import parts_of, publish
from worldgen_core.config import Config, make_config
from worldgen_core.names import ModelName

DATASET = ArtifactRef(stage="capture", key="c" * 64, digest="d" * 64)


class Recorded:
    """Steps that make references only, and remember what they were asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, BaseModel, dict[str, ArtifactRef]]] = []
        self.left_out: list[str] = []

    def __call__(self, stage: Any, settings: BaseModel, /, **inputs: ArtifactRef | None) -> ArtifactRef:
        given = {name: ref for name, ref in inputs.items() if ref is not None}
        self.calls.append((stage.name, settings, given))
        number = str(len(self.calls))
        return ArtifactRef(stage=stage.name, key=number, digest=number)

    def each(
        self, stage: Any, units: Mapping[str, BaseModel], /, **inputs: ArtifactRef | None
    ) -> dict[str, ArtifactRef]:
        return {unit: self(stage, settings, **inputs) for unit, settings in units.items()}

    def not_needed(self, stage: Any, reason: str) -> None:
        self.left_out.append(stage.name)

    def of(self, name: str) -> list[tuple[Any, dict[str, ArtifactRef]]]:
        return [(settings, inputs) for stage, settings, inputs in self.calls if stage == name]


def champion_with_card(root: Path, card: str) -> Champion:
    manifest = publish(
        ArtifactStore(root), parts_of("train_model", game="flappy"), {"model.json": card.encode()}
    )
    stale_report = ArtifactRef(stage="evaluate", key="old", digest="measured under other settings")
    champion = Champion(
        game="flappy",
        dataset_name="smoke",
        model=manifest.ref,
        report=stale_report,
        decision=manifest.ref,
        promoted_at="t",
    )
    promote(root, champion)
    return champion


def recipe(config: Config, call: Steps) -> Learned:
    return learn(config, call(capture, config.capture), call)


@pytest.mark.parametrize("architecture", ["direct", "diamond-vae"])
def test_the_incumbent_is_measured_like_the_candidate(store_root: Path, architecture: ModelName) -> None:
    champion = champion_with_card(store_root, json.dumps({"model": architecture}))
    config, call = make_config("flappy", "smoke", seed=3), Recorded()
    learned = learn(config, DATASET, call)
    (old, old_inputs), (new, new_inputs) = call.of("evaluate")
    assert old_inputs == {"model": champion.model, "dataset": DATASET}
    assert new_inputs == {"model": learned.model, "dataset": DATASET}
    assert new == config.evaluate
    assert old == config.evaluate.model_copy(update={"model": architecture})
    [(_, compared)] = call.of("publish")
    assert compared["incumbent_report"].digest == "2"
    assert compared["report"] == learned.report


def test_without_a_champion_one_evaluation_is_enough(store_root: Path) -> None:
    call = Recorded()
    learn(make_config("flappy", "smoke"), DATASET, call)
    assert len(call.of("evaluate")) == 1
    assert "incumbent_report" not in call.of("publish")[0][1]


@pytest.mark.parametrize("card", ["{", "[]", "{}", '{"model": "transformer"}'])
def test_an_incumbent_whose_architecture_cannot_be_read_is_one_clear_error(
    store_root: Path, card: str
) -> None:
    champion_with_card(store_root, card)
    with pytest.raises(StorageError, match="the champion of flappy, dataset smoke") as unreadable:
        learn(make_config("flappy", "smoke"), DATASET, Recorded())
    assert "refs/flappy/smoke/champion.json" in unreadable.value.next_step


def test_an_incumbent_that_was_collected_gives_way_to_the_champion(store_root: Path) -> None:
    store = ArtifactStore(store_root)
    refs = [
        publish(store, parts_of("train_model", seed=n), {"model.json": b'{"model": "direct"}' + b" " * n}).ref
        for n in range(3)
    ]
    for ref in refs:
        promote(
            store_root,
            Champion(
                game="flappy", dataset_name="smoke", model=ref, report=ref, decision=ref, promoted_at="t"
            ),
        )
    store.discard(refs[0].stage, refs[0].key)

    class Rebuilt(Recorded):
        def __call__(self, stage: Any, settings: BaseModel, /, **inputs: ArtifactRef | None) -> ArtifactRef:
            made = super().__call__(stage, settings, **inputs)
            return refs[1] if stage.name == "train_model" else made

    call = Rebuilt()
    learn(make_config("flappy", "smoke"), DATASET, call)
    assert call.of("evaluate")[0][1]["model"] == refs[2]


def test_plan_tells_the_two_evaluations_apart(store_root: Path) -> None:
    champion_with_card(store_root, '{"model": "diamond-vae"}')
    lines = plan(recipe, make_config("flappy", "smoke"), name="build-flappy", forced=["evaluate"])
    assert [line.stage for line in lines][-4:] == ["evaluate (incumbent)", "evaluate", "benchmark", "publish"]


def test_training_on_keeps_the_autoencoder_of_the_start(store_root: Path) -> None:
    champion = champion_with_card(store_root, '{"model": "diamond-vae"}')
    call = Recorded()
    config = make_config("flappy", "smoke", model="diamond-vae")
    learn(config, DATASET, call, start=champion.model, incumbent=champion)
    assert call.left_out == [
        *("train_upsampler", "train_autoencoder", "finetune_decoder", "distil_decoder", "attach_decoder")
    ]
    [(_, encoded)] = call.of("encode_latents")
    assert encoded == {"dataset": DATASET, "autoencoder": champion.model}
    [(_, trained)] = call.of("train_model")
    assert trained["autoencoder"] == trained["start"] == champion.model


def test_training_on_keeps_the_upsampler_of_the_start(store_root: Path) -> None:
    champion = champion_with_card(store_root, '{"model": "diamond"}')
    config, call = make_config("flappy", "smoke", model="diamond"), Recorded()
    learn(config, DATASET, call, start=champion.model, incumbent=champion)
    assert "train_upsampler" in call.left_out
    [(_, trained)] = call.of("train_model")
    assert trained["upsampler"] == trained["start"] == champion.model


@pytest.mark.parametrize(
    ("model", "section"),
    [
        ("direct", "direct"),
        ("diamond-vae", "diamond_vae"),
        ("diamond", "diamond"),
        ("diamond-small", "diamond_small"),
        ("gamengen", "gamengen"),
    ],
)
def test_reasons_name_training_settings_as_they_can_be_set(
    store_root: Path, model: ModelName, section: str
) -> None:
    from tasks.train_model import train_model

    store, config = ArtifactStore(store_root), make_config("flappy", "smoke", model=model)
    parts = train_model.key_parts(config.train, {})
    before = parts.model_copy(deep=True)
    before.settings["loop"]["ema_decay"] = 0.5
    publish(store, before, {"model.safetensors": b"1"})
    planner = Planner(store, [ArtifactRef(stage="train_model", key=before.key, digest="")])
    recipe(config, planner)
    [line] = [line for line in planner.stages if line.stage == "train_model"]
    assert f"{section}.loop.ema_decay 0.5 → {config.train.loop.ema_decay}" in line.reasons


def test_only_stages_of_gamengen_depend_on_diffusers() -> None:
    from tasks.benchmark import benchmark
    from tasks.evaluate import evaluate
    from tasks.train_model import train_model

    for model in get_args(ModelName):
        config = make_config("flappy", "smoke", model=model, device="cpu")
        stages: list[tuple[Stage[Any], BaseModel]] = [
            (train_model, config.train),
            (evaluate, config.evaluate),
            (benchmark, config.benchmark),
        ]
        parts = [stage.key_parts(settings, {}) for stage, settings in stages]
        assert {"diffusers" in part.packages for part in parts} == {model == "gamengen"}
        assert all("torch" in part.packages for part in parts)


def test_next_commands_mean_this_very_build(store_root: Path) -> None:
    from typer.testing import CliRunner

    from flows.cli import build as command_line
    from flows.cli.app import app

    changes = {
        "capture": {"dataset_name": "my-own"},
        "direct": {"loop": {"ema_decay": 0.5}, "phases": [{"unroll": 2, "batch_size": 2, "num_steps": 3}]},
        "evaluate": {"truth": "recording"},
    }
    config = make_config("flappy", "smoke", seed=4, device="cpu", overrides=changes)
    ref = ArtifactRef(stage="train_model", key="0123456789abcdef", digest="d")
    play, sample, lineage, again = next_commands("build-flappy", config, ref)
    assert play == "worldgen play flappy --model train_model/0123456789ab"
    assert sample == "worldgen sample flappy --model train_model/0123456789ab"
    assert lineage == "worldgen artifacts lineage train_model/0123456789ab"
    assert "--seed 4" in again

    meant: list[Config] = []

    def remember(_name: str, _recipe: object, config: Config, _force: list[str]) -> list[object]:
        meant.append(config)
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "check_plan", remember)
        done = CliRunner().invoke(app, shlex.split(again)[1:])
    assert done.exit_code == 0, done.output
    assert meant == [config]


def test_a_night_names_no_build_that_it_is_not(store_root: Path) -> None:
    ref = ArtifactRef(stage="train_model", key="0123456789abcdef", digest="d")
    commands = next_commands("nightly-retrain", make_config("flappy", "smoke"), ref)
    assert not any("worldgen plan" in command for command in commands)
