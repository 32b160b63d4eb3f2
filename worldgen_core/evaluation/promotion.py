"""The publish stage: should this model take the champion's place? A decision, its reasons, a model card.

The rule goes down a list and stops at the first line that decides; no two panels are ever added up.

1. No champion yet: the model becomes the champion, whatever it can do, so that there is something to play.
2. More of its long rollouts collapse than the champion's: refused. 3. It passes more criteria of a playable
dream: promoted; fewer: refused. 4. Mean height error after 32 frames smaller by more than a margin:
promoted; otherwise refused. Where the game has no heights to read, PSNR after 16 frames takes that place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from storage.atomic import write_bytes
from worldgen_core.errors import ConfigError
from worldgen_core.evaluation.model_readme import model_readme
from worldgen_core.evaluation.settings import PublishSettings
from worldgen_core.outcome import Outcome

DECISION_FILE = "decision.json"
README_FILE = "README.md"
_REPORT_FILE = "report.json"
_CARD_FILE = "model.json"
_MANIFEST_FILE = "manifest.json"


class Verdict(NamedTuple):
    """Whether to promote, and why, in sentences with figures."""

    promote: bool
    reasons: list[str]


def decide(
    settings: PublishSettings, model: Path, report: Path, incumbent_report: Path | None, *, out: Path
) -> Outcome:
    """Compare a model's report with the champion's, which must come from the same held-out play.

    Writes decision.json and README.md, the model card. Raises: ConfigError if a file is missing or damaged.
    """
    card = _read_json(model / _CARD_FILE)
    candidate = _read_json(report / _REPORT_FILE)
    incumbent = None if incumbent_report is None else _read_json(incumbent_report / _REPORT_FILE)
    verdict = judge_promotion(settings, candidate, incumbent)
    decision = {"promote": verdict.promote, "reasons": verdict.reasons}
    write_bytes(out / DECISION_FILE, (json.dumps(decision, indent=1, ensure_ascii=False) + "\n").encode())
    readme = model_readme(card, candidate, verdict.reasons, artifact=_name(model))
    write_bytes(out / README_FILE, readme.encode())
    word = "promoted" if verdict.promote else "not promoted"
    return Outcome(metrics=decision, headline=f"{word}: {verdict.reasons[-1]}")


def judge_promotion(
    settings: PublishSettings, candidate: Mapping[str, Any], incumbent: Mapping[str, Any] | None
) -> Verdict:
    """Go down the list of this module's first page; the last reason is the one that decided."""
    reasons = _observations(candidate)
    if incumbent is None:
        return Verdict(True, [*reasons, "There was no champion before."])
    collapses, collapses_before = (_num_collapsed(report) for report in (candidate, incumbent))
    if collapses > collapses_before:
        found = f"{collapses} segments of its long rollouts collapse, of the champion's {collapses_before}."
        return Verdict(False, [*reasons, found])
    passed, passed_before = candidate["num_passed"], incumbent["num_passed"]
    if passed != passed_before:
        found = f"It passes {passed} of {candidate['num_criteria']} criteria, the champion {passed_before}."
        return Verdict(passed > passed_before, [*reasons, found])
    return _judge_tie(settings, candidate, incumbent, reasons)


def _judge_tie(
    settings: PublishSettings, candidate: Mapping[str, Any], incumbent: Mapping[str, Any], reasons: list[str]
) -> Verdict:
    if "state" in candidate["panels"]:
        name, unit, sign, margin = "height_error_px_32", "px", -1, settings.min_height_gain_px
        what, panel = "mean height error after 32 frames", "state"
    else:
        name, unit, sign, margin = "psnr_16", "dB", 1, settings.min_psnr_gain_db
        what, panel = "PSNR after 16 frames", "images"
    value, before = (report["panels"][panel].get(name) for report in (candidate, incumbent))
    tie = f"Both pass {candidate['num_passed']} criteria; " if candidate["num_criteria"] else ""
    if value is None or before is None:
        measured = value is not None
        found = f"{tie}{what} could be measured only for {'it' if measured else 'the champion'}."
        if before is None and value is None:
            found = f"{tie}{what} could be measured for neither."
        return Verdict(measured and before is None, [*reasons, found])
    is_better = sign * (value - before) > margin
    found = f"{tie}{what} {value:.3g} {unit}, the champion's {before:.3g} {unit}: "
    found += "better." if is_better else f"no gain of more than {margin:g} {unit}."
    return Verdict(is_better, [*reasons, found])


def _observations(candidate: Mapping[str, Any]) -> list[str]:
    """What a person should know whatever is decided: criteria that fail, rollouts that collapse."""
    sentences: list[str] = []
    failed = [row["name"] for row in candidate["criteria"] if not row["passed"]]
    if failed:
        sentences.append(f"{len(failed)} of {candidate['num_criteria']} criteria fail: {', '.join(failed)}.")
    elif candidate["criteria"]:
        sentences.append(f"All {candidate['num_criteria']} criteria of a playable dream pass.")
    num_collapsed = _num_collapsed(candidate)
    if num_collapsed:
        num_segments = candidate["panels"]["stability"]["num_segments"]
        sentences.append(f"{num_collapsed} of {num_segments} segments of its long rollouts collapse.")
    return sentences


def _name(model: Path) -> str:
    """The start of the model's digest, by which commands find it; a bare folder has none."""
    manifest = model / _MANIFEST_FILE
    return str(_read_json(manifest)["digest"])[:12] if manifest.is_file() else "ARTIFACT"


def _num_collapsed(report: Mapping[str, Any]) -> int:
    return int(report["panels"]["stability"]["num_collapsed_segments"])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            str(path),
            expected="a JSON file that an earlier stage wrote",
            found=f"{type(error).__name__}: {error}",
            next_step="build the stage that writes it again: `worldgen build GAME --force STAGE`",
        ) from error
