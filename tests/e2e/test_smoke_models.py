"""The models that test_smoke.py leaves out, each built with the whole recipe at its smallest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import ArtifactStore
from tests.e2e.smoke import Built, check_fingerprint, check_loss_fell, check_plays_100_frames
from worldgen_core.names import ModelName

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MODELS: tuple[ModelName, ...] = ("diamond", "gamengen")
BUILDS: dict[str, dict[str, Any]] = {model: {"model": model} for model in MODELS}
STAGES: dict[str, ModelName] = {
    "train_upsampler": "diamond",
    "train_model/diamond": "diamond",
    "train_model/gamengen": "gamengen",
}


def test_stages_and_what_is_not_needed(built: Built) -> None:
    pixels, latents = built.states("diamond"), built.states("gamengen")
    assert pixels["train_upsampler"] == latents["train_autoencoder"] == "built"
    assert pixels["encode_latents"] == latents["train_upsampler"] == "not needed"
    assert list(pixels) == list(latents)


@pytest.mark.parametrize("model", MODELS)
def test_loss_falls(built: Built, model: str) -> None:
    check_loss_fell(built, model)


@pytest.mark.parametrize("model", MODELS)
def test_played_session_runs_for_100_frames(built: Built, model: str) -> None:
    check_plays_100_frames(built, model)


@pytest.mark.parametrize("stage_name", sorted(STAGES))
def test_fingerprint_sees_every_module_that_a_stage_loads(
    built: Built, store: ArtifactStore, tmp_path: Path, stage_name: str
) -> None:
    check_fingerprint(built, stage_name, STAGES[stage_name], STAGES[stage_name], tmp_path)
