"""The stage ladder_quality: how well one trained model dreams when it is played as a rung says."""

from __future__ import annotations

import json
from pathlib import Path

from storage.clips import ClipReader
from worldgen_core.evaluation.measure import measure_recorded, measure_simulated
from worldgen_core.evaluation.pictures import write_filmstrip
from worldgen_core.evaluation.report import make_report
from worldgen_core.games.catalogue import get_game
from worldgen_core.ladder.settings import LadderQualitySettings
from worldgen_core.ladder.variants import open_played
from worldgen_core.models.interface import WorldModel
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress

STRIP_FILE = "filmstrip.png"


def measure_quality(
    settings: LadderQualitySettings, model: Path, dataset: Path, *, out: Path, progress: Progress
) -> Outcome:
    """Measure the dream of the model in `model` on play that training never saw.

    Writes report.json and filmstrip.png. Determinism: as `evaluate`.
    Raises: CheckpointError for a damaged model; ConfigError if the model cannot be played so.
    """
    asked, played = settings.evaluate, settings.played
    reader = ClipReader(dataset)

    def make_model() -> WorldModel:
        return open_played(model, played, asked.device)

    if asked.truth == "simulator":
        measured = measure_simulated(asked, get_game(asked.game), make_model, reader, progress)
    else:
        measured = measure_recorded(asked, make_model, reader, progress)
    report = make_report(asked, model=played.model, panels=measured.panels, series=measured.series)
    report |= {"played": played.model_dump(mode="json")}
    (out / "report.json").write_text(
        json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    write_filmstrip(measured.along.starts, measured.along.dream, out / STRIP_FILE, scale=2)
    images = report["panels"]["images"]
    return Outcome(
        metrics={
            "num_passed": report["num_passed"],
            "num_criteria": report["num_criteria"],
            **{name: images[name] for name in FIGURES},
        },
        headline=f"{images['psnr_gain_db_16']:+.1f} dB over the last frame copied, after 16 frames",
        figures=(STRIP_FILE,),
    )


FIGURES = ("psnr_16", "psnr_gain_db_4", "psnr_gain_db_16", "sharpness_ratio_16", "sharpness_ratio_64")
"""What of the pictures the ladder shows, beside the criteria."""
