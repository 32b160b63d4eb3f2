"""The report of an evaluation as data, as Markdown and for the terminal, and the worst of several reports.

A report never mixes panels into one number: it lists each criterion with its limit, and says how many pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from worldgen_core.evaluation.criteria import is_playable, judge, num_passed, worse
from worldgen_core.evaluation.settings import EvaluateSettings

FORMAT_VERSION = 1
_DIGITS = 6
_NO_CRITERIA = "This game has no simulator, so there are no criteria about its state."
_PANEL_TITLES = {
    "state": "1 State against the true simulator, same actions",
    "actions": "2 Does it do what is pressed",
    "players": "2 Players in the dream with its own chance, and in the game",
    "images": "3 Pictures by horizon",
    "distribution": "4 Distribution of frames",
    "stability": "5 Stability over thousands of frames",
    "play": "6 Play",
    "moves": "1 What keys do, by the player's tracked position",
    "walks": "5 Long walks under recorded actions",
    "true": "1 State against the true simulator, same actions",
}


def make_report(
    settings: EvaluateSettings,
    *,
    model: str,
    panels: Mapping[str, Mapping[str, Any]],
    series: Mapping[str, Mapping[str, list[Any]]],
) -> dict[str, Any]:
    """Join panels and criteria; numbers are rounded to six digits, so that equal runs give equal bytes."""
    rows = judge(panels, settings)
    report = {
        "format_version": FORMAT_VERSION,
        "game": settings.game,
        "model": model,
        "seed": settings.seed,
        "is_playable": is_playable(rows),
        "num_criteria": len(rows),
        "num_passed": num_passed(rows),
        "criteria": rows,
        "panels": panels,
        "series": series,
    }
    return rounded(report)


def add_speed(report: Mapping[str, Any], timings: Mapping[str, Any]) -> dict[str, Any]:
    """A report to be shown with the speed among its criteria; `timings` are the notes of stage `benchmark`.

    A report on disk has no timings, since they differ from run to run.
    """
    row = {
        "name": "frames_per_s",
        "panel": "play",
        "value": timings["frames_per_s"],
        "limit": timings["frames_per_s_limit"],
        "at_least": True,
        "passed": timings["frames_per_s_passed"],
        "reader": None,
    }
    if "frames_per_s_stretch" in timings:
        row["stretch"] = timings["frames_per_s_stretch"]
    rows = [*report["criteria"], row]
    counts = {
        "criteria": rows,
        "num_criteria": len(rows),
        "num_passed": num_passed(rows),
        "is_playable": is_playable(rows),
    }
    return {**report, **counts, "panels": {**report["panels"], "play": dict(timings)}}


def rounded(value: Any) -> Any:
    """The same JSON value with floats cut to six significant digits; what is not a number becomes None."""
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def headline(report: Mapping[str, Any]) -> str:
    """The one line that a summary shows."""
    if not report["criteria"]:
        psnr = report["panels"]["images"].get("psnr_16")
        return "no criteria without a simulator" if psnr is None else f"PSNR after 16 frames {psnr:.1f} dB"
    verdict = "playable" if report["is_playable"] else "not playable yet"
    return f"{report['num_passed']} of {report['num_criteria']} criteria pass: {verdict}"


def render_report(report: Mapping[str, Any]) -> str:
    """The report for a terminal: every criterion with the reader's own figure beside it, then the panels."""
    lines = [f"{report['game']}: model {report['model']}, seed {report['seed']}", headline(report), ""]
    lines += _text_table(_criteria_table(report["criteria"])) if report["criteria"] else [_NO_CRITERIA]
    for name, panel in report["panels"].items():
        lines += ["", _PANEL_TITLES.get(name, name)]
        lines += [f"  {figure:<34} {show(value)}" for figure, value in panel.items()]
    return "\n".join(lines) + "\n"


def markdown_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"# {report['game']}: how well `{report['model']}` dreams", "", headline(report) + ".", ""]
    lines += markdown_criteria(report["criteria"])
    for name, panel in report["panels"].items():
        lines += ["", f"## {_PANEL_TITLES.get(name, name)}", ""]
        lines += markdown_table([["figure", "value"], *([figure, show(v)] for figure, v in panel.items())])
    return "\n".join(lines) + "\n"


def markdown_criteria(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The criteria as a Markdown table, or a sentence if there are none."""
    if not rows:
        return [_NO_CRITERIA]
    return markdown_table(_criteria_table(rows))


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first row is the head."""
    head, *body = rows
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]


def summarise(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The worst of several reports, figure by figure, with the values of all.

    A summary has the keys of a report that `render_report` shows, so it is shown the same way; `panels` then
    holds, for each figure that is a number, the values in the order of the reports.
    """
    first = reports[0]
    rows = [_worst_row([report["criteria"][i] for report in reports]) for i in range(len(first["criteria"]))]
    panels = {
        name: {
            figure: [report["panels"].get(name, {}).get(figure) for report in reports]
            for figure, value in panel.items()
            if not isinstance(value, Mapping)
        }
        for name, panel in first["panels"].items()
    }
    return {
        "format_version": FORMAT_VERSION,
        "game": first["game"],
        "model": first["model"],
        "seed": f"worst of {len(reports)}",
        "is_playable": is_playable(rows),
        "num_criteria": len(rows),
        "num_passed": num_passed(rows),
        "criteria": rows,
        "panels": panels,
        "series": {},
    }


def show(value: Any) -> str:
    """A figure as a person reads it."""
    if value is None:
        return "not measured"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {show(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(show(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _worst_row(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    worst = rows[0]
    for row in rows[1:]:
        worst = row if worse(row, worst) else worst
    return {**worst, "values": [row["value"] for row in rows]}


def _criteria_table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    table = [["criterion", "value", "limit", "reader alone", "passed"]]
    for row in rows:
        limit = ("at least " if row["at_least"] else "at most ") + show(row["limit"])
        reader = "" if row["reader"] is None else show(row["reader"])
        table.append([row["name"], show(row["value"]), limit, reader, "yes" if row["passed"] else "NO"])
    if any("stretch" in row for row in rows):
        _insert(table, 3, "better still", [show(row["stretch"]) if "stretch" in row else "" for row in rows])
    if any("beside" in row for row in rows):
        _insert(table, -1, "beside", [show(row["beside"]) if "beside" in row else "" for row in rows])
    return table


def _insert(table: list[list[str]], at: int, name: str, cells: Sequence[str]) -> None:
    """Add a column to a table whose first row is the head."""
    for line, cell in zip(table, [name, *cells], strict=True):
        line.insert(at, cell)


def _text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
