"""The optimisation ladder: sizes of the published story, ratios within rounds, models found in a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.ladder import find_trained
from storage.artifacts import ArtifactStore
from storage.builds import BuildRecord, write_build
from storage.manifest import Manifest
from tests.unit.test_artifacts import parts_of, publish
from worldgen_core.config import make_config
from worldgen_core.ladder import speed_process
from worldgen_core.ladder.pieces import costs_of
from worldgen_core.ladder.plot import write_plot
from worldgen_core.ladder.settings import LadderSettings, Rung
from worldgen_core.ladder.speed_process import time_pieces
from worldgen_core.ladder.story import OWN, PUBLISHED, RUNGS, ladder
from worldgen_core.ladder.table import Line, Quality, as_markdown, cells_of, make_table, missing
from worldgen_core.python_child import run_module
from worldgen_core.sizes.published import PUBLISHED as COUNTS

TWO_STEPS = {"diamond_vae": {"sampler": {"num_steps": 2}}}
SMALL = (
    Rung(name="one", model="diamond-vae", profile="smoke"),
    Rung(name="two", model="diamond-vae", profile="smoke", changes=TWO_STEPS),
    Rung(name="half", model="diamond-vae", profile="smoke", precision="bf16", layout="channels_last"),
)


def parameters(name: str) -> dict[str, int]:
    rung = next(rung for rung in RUNGS if rung.name == name)
    return {cost.key.part: cost.key.num_parameters for cost in costs_of(rung, ladder())}


def test_the_ladder_begins_and_ends_with_the_published_sizes() -> None:
    full, small = COUNTS["diamond", 2], COUNTS["diamond-small", 2]
    assert parameters("DIAMOND in full").items() >= full.items()
    assert parameters("narrow conditioning").items() >= small.items()
    latent = parameters("TAESD-shaped VAE")
    assert (latent["denoiser"], latent["decoder"]) == (73_830_788, 1_222_531)


def test_each_rung_has_one_name_and_the_published_ones_come_first() -> None:
    names = [rung.name for rung in RUNGS]
    assert len(set(names)) == len(names) == len(PUBLISHED) + len(OWN)
    assert [rung.is_published for rung in RUNGS] == [True] * len(PUBLISHED) + [False] * len(OWN)
    heun = next(rung for rung in RUNGS if "Heun" in rung.name)
    runs = {cost.key.part: cost.num_evaluations for cost in costs_of(heun, ladder())}
    assert runs["upsampler"] == 3  # two steps; with one, Heun would be Euler


def test_rungs_that_differ_in_steps_share_their_networks() -> None:
    found = time_pieces(LadderSettings(rungs=SMALL[:2], num_rounds=2, device="cpu"), {})
    assert {name.partition("/")[0] for name in found["piece_seconds"]} == {"one"}
    assert all(len(times) == 2 and min(times) > 0 for times in found["piece_seconds"].values())
    assert dict(found["uses"]["one"])["one/denoiser"] == 1
    assert dict(found["uses"]["two"])["one/denoiser"] == 2
    assert not found["failures"]


def test_quality_is_played_in_the_steps_whose_speed_is_measured() -> None:
    for rung in RUNGS:
        if rung.quality is None or rung.model in ("direct", "layered"):
            continue
        runs = {cost.key.part: cost.num_evaluations for cost in costs_of(rung, ladder())}
        changes = rung.quality.changes
        own = changes.get("stage", changes)
        assert own["sampler"]["num_steps"] == runs["denoiser"], rung.name
        if "upsampler" in runs:
            sampler = changes["upsampler"]["stage"]["sampler"]
            num_runs = 2 * sampler["num_steps"] - 1 if sampler["method"] == "heun" else sampler["num_steps"]
            assert num_runs == runs["upsampler"], rung.name


def test_memory_is_that_of_the_weights_and_more(tmp_path: Path) -> None:
    latent = next(rung for rung in RUNGS if rung.name == "TAESD-shaped VAE")  # of a size that shows
    settings = LadderSettings(rungs=(latent,), device="cpu")
    result = tmp_path / "memory.json"
    run_module(speed_process.__name__, "memory", settings.model_dump_json(), latent.name, str(result))
    weights = sum(cost.weights_bytes for cost in costs_of(latent, settings) if cost.num_evaluations)
    assert json.loads(result.read_text())["memory_bytes"] >= weights > 290e6


def test_a_large_network_is_timed_on_smaller_pictures() -> None:
    rung = Rung(name="light", model="diamond-vae", changes=next(r for r in OWN if "light" in r.name).changes)
    settings = LadderSettings(rungs=(rung,), num_rounds=1, device="cpu", max_gflop=0.3)
    wanted = {
        cost.key.part: cost.key for cost in costs_of(rung, settings) if cost.key.part == "light decoder"
    }
    pieces = speed_process.timed_of(rung, settings, wanted, device="cpu", max_gflop=0.3)
    assert [round(piece.scale, 2) for piece in pieces.values()] == [4.0]


def test_what_a_device_cannot_do_is_said_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(rung: Rung, *args: Any, **named: Any) -> Any:
        if rung.precision == "bf16":
            raise RuntimeError("no bf16 here\nand a trace")
        return timed_of(rung, *args, **named)

    timed_of = speed_process.timed_of
    monkeypatch.setattr(speed_process, "timed_of", refuse)
    found = time_pieces(LadderSettings(rungs=SMALL, num_rounds=1, device="cpu"), {})
    assert found["failures"] == {"half": "no bf16 here"}
    assert set(found["uses"]) == {"one", "two"}


def facts(name: str) -> dict[str, Any]:
    return {
        "rung": name,
        "num_parameters": 75_000_000,
        "weights_bytes": 300_000_000,
        "memory_bytes": 400_000_000,
        "flops": 1,
        "frame": [320, 240],
        "evaluations": {"denoiser": 1, "end head": 1},
    }


NOTES = {
    "piece_seconds": {
        "one/denoiser": [1.0, 4.0, 2.0],
        "one/decoder": [1.0, 4.0, 2.0],
        "half/denoiser": [8.0],
    },
    "uses": {
        "one": [("one/denoiser", 3), ("one/decoder", 1)],
        "two": [("one/denoiser", 1), ("one/decoder", 1)],
        "half": [("half/denoiser", 1)],
    },
    "failures": {},
    "scaled": ["half/denoiser"],
    "memory_bytes": {"one": 450_000_000},
}


def table(notes: dict[str, Any] = NOTES, quality: dict[str, dict[str, Quality]] | None = None) -> list[Line]:
    settings = LadderSettings(rungs=SMALL)
    return make_table(settings, [facts(rung.name) for rung in SMALL], notes, quality or {})


def test_ratios_are_taken_within_a_round() -> None:
    one, two, half = table()
    # Rounds of 4, 16 and 8 seconds: a machine that was busy for a while changes no ratio.
    assert (one.seconds_a_frame, two.seconds_a_frame, half.seconds_a_frame) == (8.0, 4.0, 8.0)
    assert (one.ratio, two.ratio, half.ratio) == (1.0, 2.0, 0.5)
    assert [line.is_scaled for line in (one, two, half)] == [False, False, True]
    assert (one.memory_bytes, one.is_memory_counted) == (450_000_000, False)
    assert (two.memory_bytes, two.is_memory_counted) == (400_000_000, True)
    assert cells_of(two) == ("two", "1", "75M", "300 MB", "≈400 MB", "0.25", "2.00")


def test_a_rung_that_cannot_run_and_what_is_not_trained_are_said() -> None:
    notes = NOTES | {"failures": {"half": "no bf16 here"}, "uses": {"one": NOTES["uses"]["one"]}}
    absent = Quality(missing="not trained: `worldgen build flappy`")
    lines = table(notes, {"one": {"flappy": absent}, "two": {"flappy": absent}})
    assert cells_of(lines[2])[5] == "cannot run here"
    assert missing(lines) == ["half cannot run here: no bf16 here", "not trained: `worldgen build flappy`"]
    assert "| not trained |" in as_markdown(lines, ["flappy"])


def test_the_picture_is_drawn_with_and_without_figures(tmp_path: Path) -> None:
    figures = {"psnr_gain_db_16": 1.5, "num_passed": 3, "num_criteria": 13}
    lines = table(quality={"one": {"flappy": Quality(figures=figures)}})
    nothing = NOTES | {"uses": {}}
    for name, shown in (("full", lines), ("empty", table(nothing))):
        write_plot(shown, ["flappy"], tmp_path / f"{name}.png", title="a machine")
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000


def built(store: ArtifactStore, number: int, model: str, data: bytes, dataset_name: str) -> Manifest:
    dataset = publish(store, parts_of("capture", dataset_name=dataset_name, data=data.decode()), {"d": data})
    trained = publish(store, parts_of("train_model", number=number), {"m": b"%d" % number})
    refs = (dataset.ref, trained.ref)
    record = BuildRecord(build_id=f"{number}", recipe="build-flappy", variant=f"smoke/{model}", stages=refs)
    write_build(store.root, record)
    return trained


def test_models_of_the_newest_dataset_are_found_and_no_others(tmp_path: Path) -> None:
    store, config = ArtifactStore(tmp_path / "store"), make_config("flappy", "smoke", device="cpu")
    assert find_trained(store, config) == {}
    name = config.dataset_name
    built(store, 1, "diamond", b"old", name)
    built(store, 2, "direct", b"new", name)
    newest = built(store, 3, "direct", b"new", name)
    latent = built(store, 4, "diamond-vae", b"new", name)
    built(store, 5, "diamond-ae", b"new", "another")
    found = find_trained(store, config)
    assert {model: one.model for model, one in found.items()} == {
        "direct": newest.ref,
        "diamond-vae": latent.ref,
    }
    assert len({one.dataset.digest for one in found.values()}) == 1


def test_quality_is_named_by_trained_models_alone() -> None:
    played = [rung.quality for rung in RUNGS if rung.quality is not None]
    assert {one.model for one in played} >= {"diamond", "diamond-small", "diamond-ae", "diamond-vae"}
    assert any(one.model == "diamond-vae" and one.precision == "float16" for one in played)
