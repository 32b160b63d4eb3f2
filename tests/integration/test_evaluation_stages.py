"""The stages evaluate, benchmark and publish one after the other on a small untrained model in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from storage.errors import WorldgenError
from storage.records import DatasetInfo
from storage.shards import write_dataset
from tests.episodes import make_episode
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.evaluation.benchmark import benchmark
from worldgen_core.evaluation.evaluate import evaluate
from worldgen_core.evaluation.promotion import decide
from worldgen_core.evaluation.sample import write_sample
from worldgen_core.evaluation.settings import EvaluateSettings, benchmark_smoke, publish_smoke, smoke
from worldgen_core.models.card import ModelCard, count_parameters, write_card, write_weights
from worldgen_core.models.direct import build
from worldgen_core.models.direct_network import DirectArchitecture
from worldgen_core.progress import EventList, silent

SIZE = (128, 72)
TINY = smoke().model_copy(
    update={"horizon": 16, "num_starts": 4, "num_counterfactuals": 2, "game_frames": 10, "sample_frames": 20}
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    episodes = [make_episode(0, 30, size=SIZE), make_episode(1, 30, split="validation", size=SIZE)]
    write_dataset(folder, DatasetInfo("flappy", "noise", *SIZE, 30.0, ("idle", "flap")), episodes)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    arch = DirectArchitecture(channels=(8, 8), num_blocks=(1, 1, 1), condition=8, memory=2)
    card = ModelCard(
        model="direct",
        game="flappy",
        action_names=("idle", "flap"),
        height=SIZE[0],
        width=SIZE[1],
        fps=30,
        settings=arch.model_dump(mode="json"),
        num_parameters={},
        dataset={"name": "noise"},
        training={"num_steps": 0},
        weights_sha256={},
    )
    torch.manual_seed(0)
    network = build(card)
    digest = write_weights(folder, network.state_dict())
    facts = {"weights_sha256": {"model.safetensors": digest}, "num_parameters": count_parameters(network)}
    write_card(folder, card.model_copy(update=facts))
    return folder


def run_evaluate(settings: EvaluateSettings, model: Path, dataset: Path, out: Path) -> dict[str, bytes]:
    out.mkdir()
    evaluate(settings, model, dataset, out=out, resume=out, progress=silent)
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_evaluate_benchmark_and_publish(model: Path, dataset: Path, tmp_path: Path) -> None:
    files = run_evaluate(TINY, model, dataset, tmp_path / "report")
    assert set(files) == {
        "report.json",
        "report.md",
        "sample.gif",
        "filmstrip.png",
        "own_play.png",
        "curves.png",
    }
    report = json.loads(files["report.json"])
    assert set(report["panels"]) == {"state", "actions", "players", "images", "distribution", "stability"}
    assert len(report["criteria"]) == 13
    assert b"duration" not in files["report.json"], "timings must not be in what is reproducible"
    alone = TINY.model_copy(update={"num_threads": 1})
    assert run_evaluate(alone, model, dataset, tmp_path / "again") == files

    speed, decision = tmp_path / "speed", tmp_path / "decision"
    speed.mkdir()
    decision.mkdir()
    events = EventList()
    measured = benchmark(benchmark_smoke(), model, out=speed, progress=events)
    facts = json.loads((speed / "benchmark.json").read_text())
    assert facts["num_parameters"]["total"] == measured.metrics["num_parameters"] > 1000
    assert facts["size_bytes"] > 4 * facts["num_parameters"]["total"]
    assert not any("_per_s" in name or "_ms" in name for name in facts)
    notes = measured.notes
    assert notes["frames_per_s"] > 0
    assert notes["latency_ms_p50"] <= notes["latency_ms_p95"]
    assert notes["peak_memory_mb"] >= notes["memory_before_model_mb"] > 50
    assert "frames/s on one core" in measured.headline
    assert events.events[-1].done == events.events[-1].total

    outcome = decide(publish_smoke(), model, tmp_path / "report", None, out=decision)
    assert outcome.metrics["promote"] is True
    assert "flappy" in (decision / "README.md").read_text()


def test_a_sample_is_written_whole_in_the_format_asked_for(model: Path, tmp_path: Path) -> None:
    gif = write_sample(model, tmp_path / "new" / "dream.gif", num_frames=40, player="idle")
    assert gif.read_bytes()[:6] == b"GIF89a"
    mp4 = write_sample(model, tmp_path / "dream.mp4", num_frames=8)
    assert b"ftyp" in mp4.read_bytes()[:16]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dream.mp4", "new"]
    with pytest.raises(ConfigError, match="gif or mp4"):
        write_sample(model, tmp_path / "dream.webm")
    with pytest.raises(ConfigError, match="one of rule"):
        write_sample(model, tmp_path / "dream.gif", player="nobody")


def test_damaged_models_and_wrong_games_are_refused(model: Path, dataset: Path, tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"game": "dino"})
    with pytest.raises(ConfigError, match=r"evaluate\.game"):
        evaluate(settings, model, dataset, out=tmp_path, resume=tmp_path, progress=silent)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointError, match=r"model\.json"):
        evaluate(TINY, empty, dataset, out=tmp_path, resume=tmp_path, progress=silent)
    with pytest.raises(CheckpointError, match=r"model\.json"):
        benchmark(benchmark_smoke(), empty, out=tmp_path, progress=silent)
    (empty / "model.json").write_bytes((model / "model.json").read_bytes())
    weights = np.frombuffer((model / "model.safetensors").read_bytes(), dtype=np.uint8).copy()
    weights[-1] ^= 1
    (empty / "model.safetensors").write_bytes(weights.tobytes())
    with pytest.raises(CheckpointError, match="sha256"):
        evaluate(TINY, empty, dataset, out=tmp_path, resume=tmp_path, progress=silent)
    with pytest.raises(CheckpointError, match="sha256"):
        benchmark(benchmark_smoke(), empty, out=tmp_path, progress=silent)


def test_a_benchmark_process_that_dies_is_reported(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldgen_core.evaluation.benchmark_process.__name__", "no_such_module")
    with pytest.raises(WorldgenError, match=r"one that ends well; found .*no_such_module"):
        benchmark(benchmark_smoke(), model, out=tmp_path, progress=silent)
