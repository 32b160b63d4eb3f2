"""The whole recipe at its smallest, for each kind of model: what the newcomer runs, only smaller."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storage.artifacts import ArtifactStore
from storage.champions import read_champion
from storage.manifest import Manifest
from tests.e2e.fingerprints import unseen_modules
from worldgen_core.config import Overrides, make_config
from worldgen_core.ladder.settings import LadderQualitySettings, LadderSettings, Played, Rung
from worldgen_core.names import ModelName

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MODELS: tuple[ModelName, ...] = ("direct", "diamond-vae", "diamond", "gamengen")
LIGHT = "diamond-vae, light decoder"
DECODERS = ("finetune_decoder", "distil_decoder")

CORES = {
    "train_agent": ("worldgen_core.agents.train:train_agent", []),
    "capture": ("worldgen_core.agents.capture:capture", ["policies"]),
    "train_autoencoder": ("worldgen_core.training.autoencoder:train_autoencoder", ["dataset"]),
    "encode_latents": ("worldgen_core.training.latents:encode_latents", ["dataset", "autoencoder"]),
    "finetune_decoder": (
        "worldgen_core.training.finetune_decoder:finetune_decoder",
        ["dataset", "latents", "autoencoder"],
    ),
    "distil_decoder": (
        "worldgen_core.training.distil_decoder:distil_decoder",
        ["dataset", "latents", "autoencoder"],
    ),
    "attach_decoder": ("worldgen_core.training.attach_decoder:attach_decoder", ["model", "autoencoder"]),
    "train_model/direct": ("worldgen_core.training.direct:train_direct", ["dataset", "start"]),
    "train_model/diamond-vae": (
        "worldgen_core.training.diamond_vae:train_diamond_vae",
        ["dataset", "latents", "autoencoder", "start"],
    ),
    "train_model/diamond": (
        "worldgen_core.training.diamond:train_diamond",
        ["dataset", "upsampler", "start"],
    ),
    "train_model/gamengen": (
        "worldgen_core.training.gamengen:train_gamengen",
        ["dataset", "latents", "autoencoder", "start"],
    ),
    "train_upsampler": ("worldgen_core.training.upsampler:train_upsampler", ["dataset"]),
    "evaluate": ("worldgen_core.evaluation.evaluate:evaluate", ["model", "dataset"]),
    "benchmark": ("worldgen_core.evaluation.benchmark:benchmark", ["model"]),
    "publish": ("worldgen_core.evaluation.promotion:decide", ["model", "report", "incumbent_report"]),
}


@pytest.fixture(scope="module")
def built(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One store in which the models were built."""
    from flows.flappy import build_flappy

    root = tmp_path_factory.mktemp("smoke") / "store"
    before = os.environ.get("WORLDGEN_STORE", "")
    os.environ["WORLDGEN_STORE"] = str(root)
    results = {model: build_flappy(profile="smoke", model=model) for model in MODELS}
    decoders = Overrides.model_validate({name: {"is_on": True} for name in DECODERS})
    results[LIGHT] = build_flappy(profile="smoke", model="diamond-vae", overrides=decoders)
    yield {"root": root, **results}
    os.environ["WORLDGEN_STORE"] = before
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def store(built: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    monkeypatch.setenv("WORLDGEN_STORE", str(built["root"]))
    return ArtifactStore(built["root"])


def manifests_of(built: dict[str, Any], model: str) -> dict[str, Manifest]:
    return {line.stage: line.manifest for line in built[model].stages if line.manifest is not None}


def test_stages_and_what_is_not_needed(built: dict[str, Any]) -> None:
    states = {model: {line.stage: line.state for line in built[model].stages} for model in MODELS}
    assert states["direct"]["train_autoencoder"] == states["direct"]["encode_latents"] == "not needed"
    assert states["diamond-vae"]["train_autoencoder"] == "built"
    assert states["diamond"]["train_upsampler"] == "built"
    assert states["direct"]["train_upsampler"] == states["diamond"]["encode_latents"] == "not needed"
    assert states["diamond-vae"]["capture"] == "cached"
    assert list(states["direct"]) == list(states["diamond-vae"]) == list(states["diamond"])


def test_other_decoders_leave_latents_and_world_model_as_they_are(
    built: dict[str, Any], store: ArtifactStore
) -> None:
    from worldgen_core.models.load import load_world_model

    states = {line.stage: line.state for line in built[LIGHT].stages}
    made = {name for name, state in states.items() if state == "built"}
    assert made == {*DECODERS, "attach_decoder", "evaluate", "benchmark", "publish"}
    manifests = manifests_of(built, LIGHT)
    assert manifests["train_model"].digest == manifests_of(built, "diamond-vae")["train_model"].digest
    assert built[LIGHT].learned.model == manifests["attach_decoder"].ref
    card = json.loads((store.path(manifests["attach_decoder"].ref) / "model.json").read_text())
    assert card["num_parameters"]["autoencoder_light_decoder"] > 0
    assert load_world_model(store.path(manifests["attach_decoder"].ref)).frame_shape == (128, 72)


def test_second_build_saves_all_work(built: dict[str, Any], store: ArtifactStore) -> None:
    from flows.flappy import build_flappy

    again = build_flappy(profile="smoke", model="direct")
    assert {line.state for line in again.stages} == {"cached", "not needed"}


def test_comparison_puts_built_models_side_by_side(built: dict[str, Any], store: ArtifactStore) -> None:
    from flows.compare import compare_models

    found = compare_models(game="flappy", profile="smoke", models=["direct", "diamond-vae"], device="cpu")
    table = {row.name: row for row in found.rows}
    assert found.models == ("direct", "diamond-vae")
    assert table["bird_found_32"].limit == "at least 0.99"
    assert all(value.endswith("of 13") for value in table["criteria passed"].values)
    sizes = [manifests_of(built, model)["benchmark"].metrics["num_parameters"] for model in found.models]
    assert table["parameters"].values == tuple(f"{size:,}" for size in sizes)
    assert all(float(value) > 0 for value in table["training, s"].values)
    assert all(path.is_file() for path in found.strips.values())
    assert "| criteria passed |" in found.markdown
    # One budget: what `direct` takes; its own build is the one that was there.
    budgets = [float(value) for value in table["training, TFLOP"].values]
    assert budgets[1] == pytest.approx(budgets[0], rel=0.1)
    assert found.strips["direct"].parent == store.path(manifests_of(built, "direct")["evaluate"].ref)
    with Image.open(found.picture) as picture:
        assert picture.height > 2 * 3 * 128  # two starts, three rows each, enlarged


def test_ladder_joins_speed_with_the_quality_of_built_models(
    built: dict[str, Any], store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import ladder

    rungs = (
        Rung(name="plain", model="diamond-vae", profile="smoke", quality=Played(model="diamond-vae")),
        Rung(
            name="short",
            model="diamond-vae",
            profile="smoke",
            quality=Played(model="diamond-vae", precision="bf16"),
        ),
        Rung(name="whole", model="direct", is_whole=True, quality=Played(model="direct")),
        Rung(name="absent", model="layered", is_whole=True, quality=Played(model="layered")),
    )
    settings = LadderSettings(rungs=rungs, num_rounds=2, has_memory=False)
    monkeypatch.setattr(ladder, "quick_ladder", lambda: settings)
    found = ladder.benchmark_ladder(games=["flappy"], profile="smoke", device="cpu", quick=True)
    plain, short, whole, absent = found.lines
    assert all(line.frames_per_s for line in (plain, short, whole))
    assert (absent.frames_per_s, absent.quality["flappy"].figures) == (None, {})
    assert "worldgen build flappy --profile smoke --model layered" in found.markdown
    assert plain.quality["flappy"].figures["num_criteria"] == 13
    assert plain.quality != short.quality
    written = json.loads((found.folder / "ladder.json").read_text())
    assert [row["rung"]["name"] for row in written["rungs"]] == ["plain", "short", "whole", "absent"]
    assert (found.folder / "ladder.png").is_file()
    made = list(store.manifests("ladder_quality"))[-1]
    by_digest = {item.digest: str(store.path(item.ref)) for item in store.manifests()}
    inputs = [by_digest[made.key_parts.inputs[name]] for name in ("model", "dataset")]
    asked = LadderQualitySettings.model_validate(made.key_parts.settings)
    core = "worldgen_core.ladder.quality:measure_quality"
    assert unseen_modules(core, asked, inputs, made, tmp_path) == []


@pytest.mark.parametrize("model", MODELS)
def test_loss_falls(built: dict[str, Any], store: ArtifactStore, model: str) -> None:
    folder = store.path(manifests_of(built, model)["train_model"].ref)
    losses = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    third = max(1, len(losses) // 3)
    assert np.mean(losses[-third:]) < np.mean(losses[:third])


@pytest.mark.parametrize("model", MODELS)
def test_played_session_runs_for_100_frames(built: dict[str, Any], store: ArtifactStore, model: str) -> None:
    import torch

    from worldgen_core.games.catalogue import get_game
    from worldgen_core.models.load import load_world_model

    dream = load_world_model(store.path(manifests_of(built, model)["train_model"].ref))
    simulator = get_game("flappy").make_simulator(7)
    frames = [simulator.frame]
    frames += [simulator.step(0).frame for _ in range(dream.num_context_frames - 1)]
    dream.reset(
        torch.from_numpy(np.stack(frames)[None]),
        torch.zeros(1, dream.num_context_frames - 1, dtype=torch.int64),
        seed=0,
    )
    shown = [dream.step(torch.tensor([int(t % 9 == 0)])).frame for t in range(100)]
    assert shown[-1].dtype == torch.uint8
    assert tuple(shown[-1].shape) == (1, *dream.frame_shape, 3)
    assert not torch.equal(shown[0], shown[50])


def test_pictures_report_and_card_are_there(built: dict[str, Any], store: ArtifactStore) -> None:
    manifests = manifests_of(built, "direct")
    report = store.path(manifests["evaluate"].ref)
    assert {"report.json", "report.md", "sample.gif", "filmstrip.png"} <= {p.name for p in report.iterdir()}
    assert "flappy" in (store.path(manifests["publish"].ref) / "README.md").read_text()
    assert manifests["benchmark"].notes
    assert read_champion(store.root, "flappy", manifests["capture"].key_parts.settings["dataset_name"])


def test_nightly_trains_on_from_the_champion_and_records_why(
    built: dict[str, Any], store: ArtifactStore
) -> None:
    from flows.nightly import nightly_retrain

    name = manifests_of(built, "direct")["capture"].key_parts.settings["dataset_name"]
    before = read_champion(store.root, "flappy", name)
    assert before is not None
    result = nightly_retrain(game="flappy", profile="smoke", dataset_name=name)
    inputs = {line.stage: line.manifest.key_parts for line in result.stages if line.manifest}
    assert inputs["train_model"].inputs["start"] == before.model.digest
    assert inputs["capture"].settings["round"] == 1
    night = json.loads((store.root / "refs" / "flappy" / name / "nights.jsonl").read_text())
    assert night["round"] == 1
    assert night["reasons"]
    after = read_champion(store.root, "flappy", name)
    assert after is not None
    assert (after.model == result.learned.model) == result.promoted == night["promoted"]


@pytest.mark.parametrize("stage_name", sorted(CORES))
def test_fingerprint_sees_every_module_that_a_stage_loads(
    built: dict[str, Any], store: ArtifactStore, tmp_path: Path, stage_name: str
) -> None:
    owners: dict[str, ModelName] = {
        "train_autoencoder": "diamond-vae",
        "encode_latents": "diamond-vae",
        "finetune_decoder": "diamond-vae",
        "distil_decoder": "diamond-vae",
        "attach_decoder": "diamond-vae",
        "train_model/diamond-vae": "diamond-vae",
        "train_upsampler": "diamond",
        "train_model/diamond": "diamond",
        "train_model/gamengen": "gamengen",
    }
    stage, model = stage_name.partition("/")[0], owners.get(stage_name, "direct")
    manifest = manifests_of(built, LIGHT if stage.endswith("_decoder") else model)[stage]
    core, names = CORES[stage_name]
    by_digest = {item.digest: str(store.path(item.ref)) for item in store.manifests()}
    inputs = [by_digest.get(manifest.key_parts.inputs.get(name, ""), "") for name in names]
    config = make_config("flappy", "smoke", model=model)
    sections = {
        "train_model": "train", "train_agent": "agent", "train_autoencoder": "autoencoder",
        "encode_latents": "latents", "train_upsampler": "upsampler",
    }  # fmt: skip
    settings = getattr(config, sections.get(stage, stage))
    assert unseen_modules(core, settings, inputs, manifest, tmp_path) == []
