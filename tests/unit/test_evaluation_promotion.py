"""Promotion: panel by panel, with reasons that hold figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_evaluation_report import SERIES, make, make_panels
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.promotion import decide, judge_promotion
from worldgen_core.evaluation.report import make_report
from worldgen_core.evaluation.settings import EvaluateSettings, laptop, publish_laptop

CARD = {
    "model": "direct",
    "game": "flappy",
    "action_names": ["idle", "flap"],
    "height": 128,
    "width": 72,
    "fps": 30.0,
    "num_parameters": {"input": 1000, "total": 1_354_301},
    "settings": {"channels": [48, 128], "memory": 8},
    "dataset": {"name": "default", "num_frames": 48_000},
    "training": {},
}


def collapsing(num_segments: int, **changes: Any) -> dict[str, Any]:
    report = make(**changes)
    report["panels"]["stability"]["num_collapsed_segments"] = num_segments
    return report


def test_the_first_model_is_promoted_and_its_faults_are_named() -> None:
    verdict = judge_promotion(publish_laptop(), collapsing(2, height_error=9.0), None)
    assert verdict.promote
    text = " ".join(verdict.reasons)
    assert "2 of 13 criteria fail: height_error_px_8, height_error_px_32" in text
    assert "2 of 96 segments" in text
    assert verdict.reasons[-1] == "There was no champion before."


@pytest.mark.parametrize(
    ("candidate", "incumbent", "promote", "said"),
    [
        (make(), make(height_error=9.0), True, "passes 13 of 13 criteria, the champion 11"),
        (make(height_error=9.0), make(), False, "passes 11 of 13 criteria, the champion 13"),
        (make(height_error=1.0), make(height_error=1.5), True, "1 px, the champion's 1.5 px: better"),
        (make(height_error=1.5), make(height_error=1.0), False, "no gain of more than 0.1 px"),
        (make(height_error=1.0), make(height_error=1.05), False, "no gain of more than 0.1 px"),
        (make(height_error=None), make(height_error=None), False, "measured for neither"),
        (collapsing(1), make(height_error=9.0), False, "1 segments of its long rollouts collapse"),
        (collapsing(1), collapsing(3, height_error=9.0), True, "passes 13 of 13"),
    ],
)
def test_the_first_panel_that_differs_decides(
    candidate: dict[str, Any], incumbent: dict[str, Any], promote: bool, said: str
) -> None:
    verdict = judge_promotion(publish_laptop(), candidate, incumbent)
    assert verdict.promote == promote
    assert said in verdict.reasons[-1]


def test_without_a_simulator_pictures_decide() -> None:
    def recorded(psnr: float) -> dict[str, Any]:
        panels = {"images": {"psnr_16": psnr}, "stability": make_panels()["stability"]}
        return make_report(laptop(), model="direct", panels=panels, series=SERIES)

    better = judge_promotion(publish_laptop(), recorded(25.4), recorded(25.0))
    assert better.promote
    assert better.reasons == ["PSNR after 16 frames 25.4 dB, the champion's 25 dB: better."]
    assert not judge_promotion(publish_laptop(), recorded(25.05), recorded(25.0)).promote


def test_decide_writes_the_decision_and_a_model_card(tmp_path: Path) -> None:
    model, report, incumbent, out = (tmp_path / name for name in ("model", "report", "incumbent", "out"))
    for folder in (model, report, incumbent, out):
        folder.mkdir()
    (model / "model.json").write_text(json.dumps(CARD))
    (model / "manifest.json").write_text(json.dumps({"digest": "0123456789abcdef"}))
    (report / "report.json").write_text(json.dumps(make(height_error=9.0)))
    (incumbent / "report.json").write_text(json.dumps(make()))
    outcome = decide(publish_laptop(), model, report, incumbent, out=out)
    decision = json.loads((out / "decision.json").read_text())
    assert decision["promote"] is False
    assert decision == outcome.metrics
    assert outcome.headline.startswith("not promoted")
    readme = (out / "README.md").read_text()
    for expected in (
        "1,354,301 parameters",
        "| height_error_px_8 | 9 | at most 2 |",
        "worldgen sample flappy --model 0123456789ab --out",
        "worldgen artifacts lineage 0123456789ab",
    ):
        assert expected in readme
    assert "`channels` | 48, 128" in readme
    assert "No record of its training." in readme
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "decision.json"]


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps(CARD))
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(ConfigError, match=r"report\.json"):
        decide(publish_laptop(), tmp_path, tmp_path, None, out=tmp_path)


def tile_report(*, psnr: float, right_way: float = 0.9) -> dict[str, Any]:
    panels = {
        "moves": {"num_starts": 50, "num_places": 9, "right_way_share": right_way},
        "images": {"psnr_16": psnr},
        "stability": make_panels()["stability"],
    }
    settings = EvaluateSettings(game="pokemon", truth="recording")
    return make_report(settings, model="direct", panels=panels, series=SERIES)


@pytest.mark.parametrize(
    ("candidate", "incumbent", "promote", "said"),
    [
        (tile_report(psnr=18), tile_report(psnr=24, right_way=0.5), True, "passes 3 of 9 criteria"),
        (tile_report(psnr=24, right_way=0.5), tile_report(psnr=18), False, "the champion 3"),
        (
            tile_report(psnr=21),
            tile_report(psnr=20),
            True,
            "Both pass 3 criteria; PSNR after 16 frames 21 dB",
        ),
        (tile_report(psnr=20), tile_report(psnr=20), False, "no gain of more than 0.1 dB"),
    ],
)
def test_a_tile_game_is_decided_by_its_criteria_and_then_by_psnr(
    candidate: dict[str, Any], incumbent: dict[str, Any], promote: bool, said: str
) -> None:
    verdict = judge_promotion(publish_laptop(), candidate, incumbent)
    assert verdict.promote is promote
    assert said in verdict.reasons[-1]
