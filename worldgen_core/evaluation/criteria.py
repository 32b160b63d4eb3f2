"""The criteria of a playable dream: figures of panels against limits, one row each, no mixed number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from worldgen_core.evaluation.settings import PlayableLimits


class _Rule(NamedTuple):
    panel: str
    name: str
    at_least: bool
    limit: float


def judge(panels: Mapping[str, Mapping[str, Any]], limits: PlayableLimits) -> list[dict[str, Any]]:
    """Return one row per criterion of the panels that were measured.

    A row has `name`, `panel`, `value`, `limit`, `at_least` (else at most), `passed`, and `reader`, the
    state reader's own figure where it has one. A figure that could not be taken, because no start lasted
    that long or because the dream lost the bird everywhere, is None and does not pass.
    """
    return [_row(rule, panels[rule.panel]) for rule in _rules(limits) if rule.panel in panels]


def num_passed(rows: list[dict[str, Any]]) -> int:
    """Count the rows that pass."""
    return sum(bool(row["passed"]) for row in rows)


def is_playable(rows: list[dict[str, Any]]) -> bool:
    """Whether there are criteria and every one passes."""
    return bool(rows) and num_passed(rows) == len(rows)


def worse(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether `row` is the worse of two rows of the same criterion; a missing value is the worst."""
    if row["value"] is None or other["value"] is None:
        return row["value"] is None and other["value"] is not None
    return row["value"] < other["value"] if row["at_least"] else row["value"] > other["value"]


def _row(rule: _Rule, panel: Mapping[str, Any]) -> dict[str, Any]:
    value = panel.get(rule.name)
    is_within = value is not None and (value >= rule.limit if rule.at_least else value <= rule.limit)
    return {
        "name": rule.name,
        "panel": rule.panel,
        "value": value,
        "limit": rule.limit,
        "at_least": rule.at_least,
        "passed": bool(is_within),
        "reader": panel.get(f"reader_{rule.name}"),
    }


def _rules(limits: PlayableLimits) -> list[_Rule]:
    return [
        _Rule("state", "bird_found_32", True, limits.bird_found_32),
        _Rule("state", "bird_found_64", True, limits.bird_found_64),
        _Rule("state", "bird_found_128", True, limits.bird_found_128),
        _Rule("state", "height_error_px_8", False, limits.height_error_px_8),
        _Rule("state", "height_error_px_32", False, limits.height_error_px_32),
        _Rule("state", "height_error_px_64", False, limits.height_error_px_64),
        _Rule("state", "termination_within_1", True, limits.termination_within_1),
        _Rule("state", "false_terminations_per_frame", False, limits.false_terminations_per_frame),
        _Rule("actions", "flap_response_error", False, limits.flap_response_error),
        _Rule("players", "rule_survival_ratio", True, limits.rule_survival_ratio),
        _Rule("players", "idle_found_gap_points", False, limits.idle_found_gap_points),
        _Rule("players", "spam_found_gap_points", False, limits.spam_found_gap_points),
        _Rule("players", "random_found_gap_points", False, limits.random_found_gap_points),
    ]
