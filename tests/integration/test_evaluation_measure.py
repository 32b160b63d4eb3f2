"""The whole evaluation with models whose play is known: the game passes everything, pretenders do not."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.clips import ClipReader
from storage.records import DatasetInfo
from storage.shards import write_dataset
from tests.episodes import make_episode
from tests.evaluation_fakes import Archive, Oracle, Still, traced
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.measure import Measured, measure_recorded, measure_simulated
from worldgen_core.evaluation.report import make_report
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.games.catalogue import get_game
from worldgen_core.progress import EventList, silent

SETTINGS = EvaluateSettings(
    game="flappy",
    num_threads=2,
    batch_size=5,
    num_starts=9,
    horizon=128,
    num_counterfactuals=3,
    num_games=3,
    game_frames=50,
    num_stability_frames=1,
    stability_segment_frames=25,
    num_nearest_frames=20,
    sample_frames=40,
)
SIZE = (128, 72)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ClipReader:
    """A recording of noise, for the nearest training frame and for the panels without a simulator."""
    folder: Path = tmp_path_factory.mktemp("noise")
    info = DatasetInfo("flappy", "noise", *SIZE, 30.0, ("idle", "flap"))
    train = make_episode(0, 30, size=SIZE)
    held_out = make_episode(1, 60, terminated=(40,), split="validation", size=SIZE)
    write_dataset(folder, info, [train, held_out])
    return ClipReader(folder)


def measure(reader: ClipReader, kind: str, settings: EvaluateSettings = SETTINGS) -> Measured:
    game = get_game("flappy")
    if kind == "still":
        return measure_simulated(settings, game, Still, reader, silent)
    archive = Archive()
    make_model = functools.partial(Oracle, game, archive, is_deaf=kind == "deaf")
    return measure_simulated(settings, traced(game, archive), make_model, reader, silent)


def report_on(measured: Measured) -> dict[str, Any]:
    return make_report(SETTINGS, model="fake", panels=measured.panels, series=measured.series)


def failed(report: dict[str, Any]) -> set[str]:
    return {row["name"] for row in report["criteria"] if not row["passed"]}


def test_the_game_itself_passes_every_criterion(reader: ClipReader) -> None:
    measured = measure(reader, "oracle")
    report = report_on(measured)
    assert failed(report) == set()
    assert report["is_playable"]
    state = measured.panels["state"]
    assert state["height_error_px_8"] == state["reader_height_error_px_8"] < 1
    assert measured.panels["images"]["psnr_16"] > 50
    assert measured.panels["images"]["copy_last_psnr_16"] < 30
    assert measured.panels["players"]["rule_survival_ratio"] == 1
    assert measured.panels["stability"]["num_collapsed_segments"] == 0
    distribution = measured.panels["distribution"]
    assert distribution["kernel_distance"] == pytest.approx(distribution["kernel_distance_null"], abs=1e-3)


def test_a_still_picture_fails_although_the_bird_is_always_found(reader: ClipReader) -> None:
    settings = SETTINGS.model_copy(update={"horizon": 64})
    measured = measure(reader, "still", settings)
    report = report_on(measured)
    assert measured.panels["state"]["bird_found_32"] == 1
    assert failed(report) >= {"height_error_px_8", "height_error_px_32", "termination_within_1"}
    assert "flap_response_error" in failed(report)
    assert measured.panels["actions"]["flap_response_error"] == pytest.approx(1, abs=0.02)
    stability = measured.panels["stability"]
    assert stability["num_collapsed_segments"] == stability["num_segments"]
    images = measured.panels["images"]
    assert images["psnr_16"] == images["copy_last_psnr_16"]


def test_a_dream_that_is_deaf_to_presses_is_found_out(reader: ClipReader) -> None:
    settings = SETTINGS.model_copy(update={"horizon": 32})
    report = report_on(measure(reader, "deaf", settings))
    assert {"flap_response_error", "height_error_px_8", "rule_survival_ratio"} <= failed(report)


def test_threads_change_nothing_and_seeds_do(reader: ClipReader) -> None:
    small = {"horizon": 16, "num_starts": 4, "game_frames": 12, "num_games": 2, "sample_frames": 12}
    alone, together, other = (
        measure(reader, "still", SETTINGS.model_copy(update=small | change))
        for change in ({"num_threads": 1}, {"num_threads": 2}, {"num_threads": 2, "seed": 1})
    )
    assert alone.panels == together.panels != other.panels
    assert alone.series == together.series
    np.testing.assert_array_equal(alone.sample.dream, together.sample.dream)


def test_a_recording_offers_the_panels_that_need_no_simulator(reader: ClipReader) -> None:
    events = EventList()
    settings = SETTINGS.model_copy(update={"horizon": 16, "num_starts": 5, "num_stability_frames": 100})
    measured = measure_recorded(settings, Still, reader, events)
    assert set(measured.panels) == {"images", "distribution", "stability"}
    assert measured.panels["images"]["psnr_4"] == measured.panels["images"]["copy_last_psnr_4"]
    assert measured.panels["stability"]["num_frames"] == 100
    report = report_on(measured)
    assert report["criteria"] == []
    assert not report["is_playable"]
    assert events.events[-1].done == events.events[-1].total
    with pytest.raises(ConfigError, match=r"evaluate\.horizon"):
        measure_recorded(SETTINGS, Still, reader, silent)


def test_an_error_in_one_rollout_ends_the_others(reader: ClipReader) -> None:
    class Broken(Still):
        def step(self, action: Any, *, truth: Any = None) -> Any:
            if truth is None:
                raise RuntimeError("broken model")
            return super().step(action)

    settings = SETTINGS.model_copy(update={"game_frames": 2000, "num_starts": 2, "horizon": 8})
    with pytest.raises(RuntimeError, match="broken model"):
        measure_simulated(settings, get_game("flappy"), Broken, reader, silent)
