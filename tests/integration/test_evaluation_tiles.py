"""The evaluation of tile games with models whose faults are known: each figure finds the fault it is for."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tile_fakes import (
    NUM_CONTEXT_FRAMES,
    Backwards,
    Blurred,
    Crumbling,
    Drawn,
    Frozen,
    Ghostly,
    Hasty,
    LeftBehind,
    Rightly,
    Stopping,
    write_drawn,
)
from tests.tracking_world import SETTINGS, VIEW
from worldgen_core.evaluation.criteria import judge
from worldgen_core.evaluation.evaluate import evaluate
from worldgen_core.evaluation.jobs import JobPool, Meter
from worldgen_core.evaluation.measure import measure_recorded
from worldgen_core.evaluation.measure_tiles import TileJobs, TileMeasured
from worldgen_core.evaluation.report import make_report, render_report
from worldgen_core.evaluation.settings import EvaluateSettings, smoke
from worldgen_core.evaluation.tile_plan import TilePlan, plan_tiles
from worldgen_core.evaluation.tile_settings import TileLimits, TileSettings
from worldgen_core.models.card import ModelCard, count_parameters, write_card, write_weights
from worldgen_core.models.direct import build
from worldgen_core.models.direct_network import DirectArchitecture
from worldgen_core.progress import EventList, silent

TILES = TileSettings(
    num_starts=8,
    num_walks=2,
    walk_frames=60,
    sharpness_frames=10,
    limits=TileLimits(num_starts=8, num_places=2),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return write_drawn(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def plan(drawn: Drawn) -> TilePlan:
    return plan_tiles(TILES, drawn.reader, SETTINGS, num_context_frames=NUM_CONTEXT_FRAMES, true=None)


def measure(plan: TilePlan, drawn: Drawn, model: type[Rightly], *, num_threads: int = 2) -> TileMeasured:
    pool = JobPool(functools.partial(model, drawn), num_threads)
    meter = Meter(plan.num_frames(16), silent)
    with pool.working(meter):
        return TileJobs(pool, plan, batch_size=16, seed=0, meter=meter).result(TILES)


def rows_of(measured: TileMeasured) -> dict[str, dict[str, Any]]:
    rows = judge(measured.panels, EvaluateSettings(game="pokemon", tiles=TILES))
    return {row["name"]: row for row in rows}


def failed(measured: TileMeasured) -> set[str]:
    return {name for name, row in rows_of(measured).items() if not row["passed"]}


def test_the_game_itself_reaches_what_the_reader_reaches_on_the_recording(
    plan: TilePlan, drawn: Drawn
) -> None:
    measured = measure(plan, drawn, Rightly)
    rows = rows_of(measured)
    assert len(rows) == 11
    assert failed(measured) == set()
    for row in rows.values():
        if row["reader"] is not None:
            assert row["value"] == pytest.approx(row["reader"], abs=0.01), row["name"]
    assert rows["right_way_share"]["stretch"] == 0.95
    moves = measured.panels["moves"]
    assert moves["speed_px"] == 2
    assert min(moves[f"num_{kind}"] for kind in ("held", "tap", "blocked")) >= 5
    assert min(moves[f"num_{kind}_recorded"] for kind in ("held", "tap", "blocked")) >= 2
    assert measured.panels["walks"]["walk_frames"] == 60
    assert len(measured.walks) == 2


@pytest.mark.parametrize(
    ("model", "fails", "passes"),
    [
        (Frozen, {"right_way_share", "tap_on_edge_share", "exact_motion_share", "facing_share"}, set()),
        (Backwards, {"right_way_share", "wrong_way_share", "facing_share"}, {"exact_motion_share"}),
        (Hasty, {"exact_motion_share"}, {"right_way_share", "blocked_stays_share"}),
        (Stopping, {"tap_on_edge_share"}, {"right_way_share", "exact_motion_share", "found_share"}),
        (Ghostly, {"blocked_stays_share"}, {"right_way_share", "tap_on_edge_share"}),
        (Blurred, {"sharpness_least"}, {"sharpness_most", "right_way_share"}),
        (Crumbling, {"sharpness_most"}, {"sharpness_least", "right_way_share"}),
        (LeftBehind, {"found_share", "right_way_share"}, {"sharpness_least", "sharpness_most"}),
    ],
)
def test_each_fault_is_found_by_the_figures_that_are_for_it(
    plan: TilePlan, drawn: Drawn, model: type[Rightly], fails: set[str], passes: set[str]
) -> None:
    found = failed(measure(plan, drawn, model))
    assert fails <= found
    assert not passes & found


SMALL = smoke("pokemon").model_copy(
    update={"truth": "recording", "horizon": 16, "num_starts": 4, "sample_frames": 40, "tiles": TILES}
)


def test_a_recording_with_a_player_gets_every_panel_and_gives_no_truth_away(drawn: Drawn) -> None:
    events = EventList()
    measured = measure_recorded(SMALL, functools.partial(Rightly, drawn), drawn.reader, events)
    assert set(measured.panels) == {"moves", "walks", "images", "distribution", "stability"}
    assert events.events[-1].done == events.events[-1].total
    assert measured.panels["images"]["psnr_16"] > 30
    assert measured.panels["stability"]["num_collapsed_segments"] == 0
    assert len(measured.sample.action) == 40
    report = make_report(SMALL, model="fake", panels=measured.panels, series=measured.series)
    assert [row["name"] for row in report["criteria"] if not row["passed"]] == []
    assert report["num_criteria"] == 13


def test_the_stage_writes_report_and_pictures_of_walks(drawn: Drawn, tmp_path: Path) -> None:
    model = write_untrained(tmp_path / "model")
    outs = [tmp_path / name for name in ("first", "again")]
    for out, num_threads in zip(outs, (1, 2), strict=True):
        out.mkdir()
        settings = SMALL.model_copy(update={"num_threads": num_threads})
        done = evaluate(settings, model, drawn.reader.folder, out=out, resume=out, progress=silent)
        assert "walks.png" in done.figures
        assert done.metrics["num_criteria"] == 13
        assert "right_way_share" in done.metrics
    first, again = ({path.name: path.read_bytes() for path in out.iterdir()} for out in outs)
    assert {"walks.png", "sample.gif", "filmstrip.png", "curves.png", "report.json", "report.md"} <= set(
        first
    )
    assert first == again
    assert b"reader alone" in first["report.md"]


def test_a_recording_too_short_to_learn_the_player_from_says_so(tmp_path: Path) -> None:
    short = write_drawn(tmp_path, num_walks=2)
    measured = measure_recorded(SMALL, functools.partial(Rightly, short), short.reader, silent)
    assert "longer walks" in measured.panels["moves"]["problem"]
    report = make_report(SMALL, model="fake", panels=measured.panels, series=measured.series)
    row = next(row for row in report["criteria"] if row["name"] == "right_way_share")
    assert (row["value"], row["passed"]) == (None, False)
    assert "longer walks" in render_report(report)


def write_untrained(folder: Path) -> Path:
    """A `direct` model of random weights."""
    folder.mkdir()
    arch = DirectArchitecture(channels=(8, 8), num_blocks=(1, 1, 1), condition=8, memory=2)
    card = ModelCard(
        model="direct",
        game="pokemon",
        action_names=("none", "up", "down", "left", "right", "a", "b", "start"),
        height=VIEW[0],
        width=VIEW[1],
        fps=15,
        settings=arch.model_dump(mode="json"),
        num_parameters={},
        dataset={"name": "drawn"},
        training={"num_steps": 0},
        weights_sha256={},
    )
    torch.manual_seed(0)
    network = build(card)
    digest = write_weights(folder, network.state_dict())
    facts = {"weights_sha256": {"model.safetensors": digest}, "num_parameters": count_parameters(network)}
    write_card(folder, card.model_copy(update=facts))
    return folder


def test_threads_change_nothing(plan: TilePlan, drawn: Drawn) -> None:
    alone, together = (measure(plan, drawn, Rightly, num_threads=count) for count in (1, 2))
    assert alone.panels == together.panels
    assert alone.series == together.series
