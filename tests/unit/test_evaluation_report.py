"""Reports: rounded, readable, and the worst of several."""

from __future__ import annotations

import json
import math
from typing import Any

from worldgen_core.evaluation.report import (
    add_speed,
    headline,
    make_report,
    markdown_report,
    render_report,
    rounded,
    summarise,
)
from worldgen_core.evaluation.settings import EvaluateSettings, laptop, paper, smoke

SERIES: dict[str, dict[str, list[Any]]] = {"stability": {"frame": [1.0]}}


def make_panels(height_error: float | None = 1.0, found: float = 1.0) -> dict[str, dict[str, Any]]:
    return {
        "state": {
            "bird_found_32": found,
            "bird_found_64": found,
            "bird_found_128": found,
            "height_error_px_8": height_error,
            "reader_height_error_px_8": 0.0312345678,
            "height_error_px_32": height_error,
            "height_error_px_64": height_error,
            "termination_within_1": 1.0,
            "false_terminations_per_frame": 0.0,
        },
        "actions": {"flap_response_error": 0.05},
        "players": {
            "rule_survival_ratio": 0.9,
            "idle_found_gap_points": 1.0,
            "spam_found_gap_points": 2.0,
            "random_found_gap_points": 3.0,
        },
        "images": {"psnr_16": 25.0},
        "stability": {
            "num_frames": 10_000,
            "num_segments": 96,
            "segment_frames": 104,
            "num_collapsed_segments": 0,
            "worst_sharpness_ratio": 0.9,
            "worst_segment": {"player": "rule", "slot": 3, "first_frame": 104},
        },
    }


def make(settings: EvaluateSettings | None = None, **changes: Any) -> dict[str, Any]:
    return make_report(settings or laptop(), model="direct", panels=make_panels(**changes), series=SERIES)


def test_numbers_are_cut_to_six_digits_and_never_nan() -> None:
    assert rounded({"a": [1 / 3, math.nan, 2, None, "x"], "b": True}) == {
        "a": [0.333333, None, 2, None, "x"],
        "b": True,
    }
    report = make(height_error=1.23456789)
    assert report["panels"]["state"]["height_error_px_8"] == 1.23457
    json.dumps(report, allow_nan=False)


def test_a_report_shows_each_criterion_with_limit_and_reader() -> None:
    report = make(height_error=3.0)
    text = render_report(report)
    assert "12 of 13 criteria pass: not playable yet" in text
    line = next(line for line in text.splitlines() if line.startswith("height_error_px_8"))
    assert line.split() == ["height_error_px_8", "3", "at", "most", "2", "0.03123", "NO"]
    assert "| height_error_px_8 | 3 | at most 2 | 0.03123 | NO |" in markdown_report(report)
    assert headline(make()) == "13 of 13 criteria pass: playable"


def test_what_could_not_be_measured_does_not_pass() -> None:
    report = make(height_error=None)
    assert not report["is_playable"]
    assert report["num_passed"] == 10
    assert "not measured" in render_report(report)


def test_a_report_without_criteria_says_so() -> None:
    panels = {name: make_panels()[name] for name in ("images", "stability")}
    report = make_report(laptop(), model="direct", panels=panels, series=SERIES)
    assert headline(report) == "PSNR after 16 frames 25.0 dB"
    assert "no simulator" in markdown_report(report)
    assert "no criteria" in render_report(report)
    assert "criterion" not in render_report(report)


def test_the_worst_of_several_reports_counts() -> None:
    reports = [make(height_error=1.0), make(height_error=2.5, found=0.9), make(height_error=1.5)]
    summary = summarise(reports)
    rows = {row["name"]: row for row in summary["criteria"]}
    assert rows["height_error_px_8"]["value"] == 2.5
    assert rows["height_error_px_8"]["values"] == [1.0, 2.5, 1.5]
    assert rows["bird_found_32"]["value"] == 0.9
    assert not summary["is_playable"]
    assert summary["panels"]["state"]["height_error_px_8"] == [1.0, 2.5, 1.5]
    assert "worst of 3" in render_report(summary)
    lost = summarise([make(), make(height_error=None)])
    assert {row["name"]: row for row in lost["criteria"]}["height_error_px_8"]["value"] is None


def test_speed_joins_the_criteria_only_where_it_is_shown() -> None:
    report = make()
    timings = {"frames_per_s": 41.5, "frames_per_s_limit": 30.0, "frames_per_s_passed": True}
    shown = add_speed(report, timings | {"frames_per_s_stretch": 60.0})
    assert (shown["num_criteria"], shown["num_passed"], report["num_criteria"]) == (14, 14, 13)
    line = next(line for line in render_report(shown).splitlines() if line.startswith("frames_per_s"))
    assert line.split() == ["frames_per_s", "41.5", "at", "least", "30", "60", "yes"]
    slow = add_speed(report, timings | {"frames_per_s": 9.0, "frames_per_s_passed": False})
    assert not slow["is_playable"]
    worst = summarise([shown, add_speed(report, timings | {"frames_per_s": 35.0})])
    assert worst["criteria"][-1]["value"] == 35


def test_what_would_be_better_still_and_what_belongs_beside_a_figure_have_columns() -> None:
    panels = {
        "moves": {"num_starts": 44, "num_places": 9, "right_way_share": 0.8, "reader_right_way_share": 1.0},
        "images": {"psnr_gain_db_4": 2.0, "sharpness_ratio_4": 0.9},
    }
    report = make_report(EvaluateSettings(game="pokemon"), model="direct", panels=panels, series=SERIES)
    text = markdown_report(report)
    assert "| criterion | value | limit | better still | reader alone | beside | passed |" in text
    assert "| right_way_share | 0.8 | at least 0.75 | 0.95 | 1 |  | yes |" in text
    assert "| psnr_gain_db_4 | 2 | at least 1.5 | 3 |  | sharpness_ratio_4 0.9 | yes |" in text
    assert "| num_starts | 44 | at least 40 |  |  |  | yes |" in text


def test_profiles_are_sized_as_the_issue_asks() -> None:
    settings = laptop()
    assert settings.num_starts >= 24
    assert settings.horizon == 128
    assert (settings.num_games, settings.game_frames) == (12, 300)
    num_slots = settings.num_games + 3 * settings.num_blind_slots
    assert num_slots * settings.num_own_frames >= 10_000
    assert smoke().num_own_frames * (3 + 3) >= smoke().num_stability_frames
    assert paper().num_starts > settings.num_starts
