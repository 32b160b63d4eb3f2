"""The evaluate stage: takes the panels of a model on held-out play and writes report, tables and pictures."""

from __future__ import annotations

import json
import time
from pathlib import Path

from storage.clips import ClipReader
from worldgen_core.device import choose_device
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.animation import compose, write_gif
from worldgen_core.evaluation.measure import Measured, measure_recorded, measure_simulated
from worldgen_core.evaluation.pictures import write_curves, write_filmstrip, write_own_play, write_walks
from worldgen_core.evaluation.report import headline, make_report, markdown_report
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.games.catalogue import get_game
from worldgen_core.models.card import ModelCard, read_card
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.load import load_world_model
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress

REPORT_FILE = "report.json"
_GIF_EVERY = 2
"""Every other frame at half the speed keeps sample.gif small enough to be shown anywhere."""


def evaluate(
    settings: EvaluateSettings,
    model: Path,
    dataset: Path,
    *,
    out: Path,
    resume: Path,  # noqa: ARG001  # every stage is given one; a minute's work has nothing to resume
    progress: Progress,
) -> Outcome:
    """Measure the model in `model` on play that training never saw.

    Writes report.json and report.md, sample.gif, filmstrip.png, own_play.png, curves.png, and walks.png where
    the player can be tracked.
    Determinism: on one device the same settings and weights give the same bytes.
    Raises: ConfigError if model and settings are of different games; CheckpointError for a damaged model.
    """
    started_s = time.perf_counter()
    card = read_card(model)
    _check_game(settings, card, model)
    device = choose_device(settings.device).type
    reader = ClipReader(dataset)

    def make_model() -> WorldModel:
        return load_world_model(model, device)

    if settings.truth == "simulator":
        measured = measure_simulated(settings, get_game(settings.game), make_model, reader, progress)
    else:
        measured = measure_recorded(settings, make_model, reader, progress)
    report = make_report(settings, model=card.model, panels=measured.panels, series=measured.series)
    (out / REPORT_FILE).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "report.md").write_text(markdown_report(report), encoding="utf-8")
    _write_pictures(settings, card, measured, out)
    write_curves(report, out / "curves.png")
    return Outcome(
        metrics={row["name"]: row["value"] for row in report["criteria"]}
        | {"num_passed": report["num_passed"], "num_criteria": report["num_criteria"]},
        notes={"duration_s": round(time.perf_counter() - started_s, 2), "device": device},
        headline=headline(report),
        figures=(
            "filmstrip.png",
            "sample.gif",
            "curves.png",
            "walks.png" if measured.walks else "own_play.png",
        ),
    )


def _write_pictures(settings: EvaluateSettings, card: ModelCard, measured: Measured, out: Path) -> None:
    _write_gif(settings, card, measured, out / "sample.gif")
    along = measured.along
    write_filmstrip(along.starts, along.dream, out / "filmstrip.png", scale=min(settings.sample_scale, 2))
    write_own_play(measured.own, out / "own_play.png", scale=1)
    if measured.walks:
        write_walks(measured.walks, out / "walks.png", scale=min(settings.sample_scale, 2))


def _write_gif(settings: EvaluateSettings, card: ModelCard, measured: Measured, path: Path) -> None:
    """Write the animation as large as the limit on its size allows; a noisy dream packs badly."""
    for scale in range(settings.sample_scale, 0, -1):
        pictures = compose(measured.sample, action_names=card.action_names, scale=scale)
        write_gif(pictures[::_GIF_EVERY], path, fps=card.fps / _GIF_EVERY)
        if path.stat().st_size <= settings.sample_max_bytes:
            return


def _check_game(settings: EvaluateSettings, card: ModelCard, model: Path) -> None:
    if card.game != settings.game:
        raise ConfigError(
            f"{model}: game",
            expected=f"{settings.game!r}, as evaluate.game says",
            found=repr(card.game),
            next_step="set evaluate.game, or name another model folder",
        )
