"""The model card people read: what a model is, what it learned from, how well it dreams, how to play it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worldgen_core.evaluation.report import headline, markdown_criteria, markdown_table, show


def model_readme(
    card: Mapping[str, Any], report: Mapping[str, Any], reasons: Sequence[str], *, artifact: str
) -> str:
    """Markdown of a model card from model.json, report.json and the reasons of the decision.

    `artifact` is the name by which commands know the model, champion or not.
    """
    game, model = card["game"], card["model"]
    parameters = card.get("num_parameters", {})
    total = parameters.get("total", sum(parameters.values()))
    lines = [
        f"# {game}, dreamt by `{model}`",
        "",
        f"A neural network that plays back the game {game}: it is given the last frames and what is pressed,",
        f"and draws the next frame. {total:,} parameters, {card['width']}x{card['height']} pixels,",
        f"{card['fps']:g} frames a second, actions: {', '.join(card['action_names'])}.",
        "",
        "## How well it dreams",
        "",
        f"{headline(report)}.",
        "",
        *markdown_criteria(report["criteria"]),
        "",
        "Measured on held-out play that training never saw, against the true game under the same actions",
        "where there is a simulator. `report.md` has all panels; the stage `benchmark` measures speed.",
        "",
        "## Champion or not",
        "",
        *[f"- {reason}" for reason in reasons],
        "",
        "## Known limits",
        "",
        *_limits(report),
        "",
        "## What it was made from",
        "",
        *_facts("data", card.get("dataset", {})),
        "",
        *_facts("training", card.get("training", {})),
        "",
        *_facts("network", card.get("settings", {})),
        "",
        "## Play it",
        "",
        "```",
        "# the game and its dream side by side",
        f"worldgen sample {game} --model {artifact} --out dream.gif",
        "# every stage that it was made by, with commit and key figure",
        f"worldgen artifacts lineage {artifact}",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _limits(report: Mapping[str, Any]) -> list[str]:
    """Sentences about what does not hold, from the figures."""
    found = [
        f"- `{row['name']}` is {show(row['value'])}, the limit {show(row['limit'])}."
        for row in report["criteria"]
        if not row["passed"]
    ]
    stability = report["panels"]["stability"]
    if stability["num_collapsed_segments"]:
        found.append(
            f"- {stability['num_collapsed_segments']} of {stability['num_segments']} stretches of "
            f"{stability['segment_frames']} frames collapse in long play."
        )
    found.append(
        f"- Over {stability['num_frames']:,} frames the worst stretch has "
        f"{show(stability['worst_sharpness_ratio'])} of the game's sharpness."
    )
    return found


def _facts(title: str, facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return [f"No record of its {title}."]
    flat = _flatten(facts)
    return markdown_table([[title, "value"], *([f"`{name}`", show(value)] for name, value in flat.items())])


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
