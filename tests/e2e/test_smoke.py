"""The whole recipe at its smallest: what the newcomer runs, only smaller, and what else reads its store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage.artifacts import ArtifactStore
from storage.champions import read_champion
from tests.e2e.fingerprints import unseen_modules
from tests.e2e.smoke import Built, check_fingerprint, check_loss_fell, check_plays_100_frames
from worldgen_core.config import Overrides
from worldgen_core.ladder.settings import LadderQualitySettings, LadderSettings, Played, Rung
from worldgen_core.models.load import load_world_model
from worldgen_core.names import ModelName

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MODELS: tuple[ModelName, ...] = ("direct", "diamond-vae")
LIGHT = "diamond-vae, light decoder"
DECODERS = ("finetune_decoder", "distil_decoder")
BUILDS: dict[str, dict[str, Any]] = {
    **{model: {"model": model} for model in MODELS},
    LIGHT: {
        "model": "diamond-vae",
        "overrides": Overrides.model_validate({name: {"is_on": True} for name in DECODERS}),
    },
}
"""test_smoke_models.py builds the other models: two files share the work of two processes."""

STAGES: dict[str, tuple[str, ModelName]] = {
    "train_agent": ("direct", "direct"),
    "capture": ("direct", "direct"),
    "train_model/direct": ("direct", "direct"),
    "evaluate": ("direct", "direct"),
    "benchmark": ("direct", "direct"),
    "publish": ("direct", "direct"),
    "train_autoencoder": ("diamond-vae", "diamond-vae"),
    "encode_latents": ("diamond-vae", "diamond-vae"),
    "train_model/diamond-vae": ("diamond-vae", "diamond-vae"),
    "finetune_decoder": (LIGHT, "diamond-vae"),
    "distil_decoder": (LIGHT, "diamond-vae"),
    "attach_decoder": (LIGHT, "diamond-vae"),
}
"""In which build a stage's fingerprint is looked at, and of which model that is."""


def test_stages_and_what_is_not_needed(built: Built) -> None:
    direct, latent = built.states("direct"), built.states("diamond-vae")
    assert direct["train_autoencoder"] == direct["encode_latents"] == "not needed"
    assert latent["train_autoencoder"] == "built"
    assert direct["train_upsampler"] == latent["train_upsampler"] == "not needed"
    assert latent["capture"] == "cached"
    assert list(direct) == list(latent)


def test_other_decoders_leave_latents_and_world_model_as_they_are(built: Built) -> None:
    made = {name for name, state in built.states(LIGHT).items() if state == "built"}
    assert made == {*DECODERS, "attach_decoder", "evaluate", "benchmark", "publish"}
    manifests = built.manifests(LIGHT)
    assert manifests["train_model"].digest == built.manifests("diamond-vae")["train_model"].digest
    assert built.results[LIGHT].learned.model == manifests["attach_decoder"].ref
    card = json.loads((built.folder(LIGHT, "attach_decoder") / "model.json").read_text())
    assert card["num_parameters"]["autoencoder_light_decoder"] > 0
    assert load_world_model(built.folder(LIGHT, "attach_decoder")).frame_shape == (128, 72)


def test_second_build_saves_all_work(store: ArtifactStore) -> None:
    from flows.flappy import build_flappy

    again = build_flappy(profile="smoke", model="direct")
    assert {line.state for line in again.stages} == {"cached", "not needed"}


def test_comparison_puts_built_models_side_by_side(built: Built, store: ArtifactStore) -> None:
    from flows.compare import compare_models

    found = compare_models(game="flappy", profile="smoke", models=["direct", "diamond-vae"], device="cpu")
    table = {row.name: row for row in found.rows}
    assert found.models == ("direct", "diamond-vae")
    assert table["bird_found_32"].limit == "at least 0.99"
    assert all(value.endswith("of 13") for value in table["criteria passed"].values)
    sizes = [built.manifests(model)["benchmark"].metrics["num_parameters"] for model in found.models]
    assert table["parameters"].values == tuple(f"{size:,}" for size in sizes)
    assert all(float(value) > 0 for value in table["training, s"].values)
    assert all(path.is_file() for path in found.strips.values())
    assert "| criteria passed |" in found.markdown
    # One budget: what `direct` takes; its own build is the one that was there.
    budgets = [float(value) for value in table["training, TFLOP"].values]
    assert budgets[1] == pytest.approx(budgets[0], rel=0.1)
    assert found.strips["direct"].parent == built.folder("direct", "evaluate")
    with Image.open(found.picture) as picture:
        assert picture.height > 2 * 3 * 128  # two starts, three rows each, enlarged


def test_ladder_joins_speed_with_the_quality_of_built_models(
    built: Built, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
def test_loss_falls(built: Built, model: str) -> None:
    check_loss_fell(built, model)


@pytest.mark.parametrize("model", MODELS)
def test_played_session_runs_for_100_frames(built: Built, model: str) -> None:
    check_plays_100_frames(built, model)


def test_pictures_report_and_card_are_there(built: Built, store: ArtifactStore) -> None:
    manifests, report = built.manifests("direct"), built.folder("direct", "evaluate")
    assert {"report.json", "report.md", "sample.gif", "filmstrip.png"} <= {p.name for p in report.iterdir()}
    assert "flappy" in (built.folder("direct", "publish") / "README.md").read_text()
    assert manifests["benchmark"].notes
    assert read_champion(store.root, "flappy", manifests["capture"].key_parts.settings["dataset_name"])


def test_nightly_trains_on_from_the_champion_and_records_why(built: Built, store: ArtifactStore) -> None:
    from flows.nightly import nightly_retrain

    name = built.manifests("direct")["capture"].key_parts.settings["dataset_name"]
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


@pytest.mark.parametrize("stage_name", sorted(STAGES))
def test_fingerprint_sees_every_module_that_a_stage_loads(
    built: Built, store: ArtifactStore, tmp_path: Path, stage_name: str
) -> None:
    check_fingerprint(built, stage_name, *STAGES[stage_name], tmp_path)
