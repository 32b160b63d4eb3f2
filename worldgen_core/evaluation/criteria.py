"""The criteria of a playable dream: figures of panels against limits, one row each, no mixed number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from worldgen_core.evaluation.settings import EvaluateSettings, PlayableLimits
from worldgen_core.evaluation.tile_settings import STRETCH, TileLimits


class _Rule(NamedTuple):
    panel: str
    name: str
    at_least: bool
    limit: float
    stretch: float | None = None
    figure: str = ""
    """The panel's figure; by default the one of the rule's name."""
    beside: str = ""
    """Another figure of the panel without which this one would mislead."""


def judge(panels: Mapping[str, Mapping[str, Any]], settings: EvaluateSettings) -> list[dict[str, Any]]:
    """Return one row per criterion of the panels that were measured.

    A row has `name`, `panel`, `value`, `limit`, `at_least` (else at most), `passed`, and `reader`, the
    state reader's own figure where it has one; some have `stretch`, what would be better still, and
    `beside`, other figures by name. A figure that could not be taken, because no start lasted that long or
    because the dream lost the player everywhere, is None and does not pass.
    """
    rules = _rules(settings.limits)
    if "moves" in panels:
        rules += _tile_rules(settings.tiles.limits, STRETCH)
    return [_row(rule, panels[rule.panel]) for rule in rules if rule.panel in panels]


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
    figure = rule.figure or rule.name
    value = panel.get(figure)
    is_within = value is not None and (value >= rule.limit if rule.at_least else value <= rule.limit)
    row = {
        "name": rule.name,
        "panel": rule.panel,
        "value": value,
        "limit": rule.limit,
        "at_least": rule.at_least,
        "passed": bool(is_within),
        "reader": panel.get(f"reader_{figure}"),
    }
    if rule.stretch is not None:
        row["stretch"] = rule.stretch
    if rule.beside:
        row["beside"] = {rule.beside: panel.get(rule.beside)}
    return row


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


def _tile_rules(must: TileLimits, stretch: TileLimits) -> list[_Rule]:
    def rule(panel: str, name: str, *, at_least: bool = True, figure: str = "", beside: str = "") -> _Rule:
        limits = must.model_dump()[name], stretch.model_dump()[name]
        return _Rule(panel, name, at_least, *limits, figure, beside)

    return [
        _Rule("moves", "num_starts", True, must.num_starts),
        _Rule("moves", "num_places", True, must.num_places),
        rule("moves", "right_way_share"),
        rule("moves", "wrong_way_share", at_least=False),
        rule("moves", "blocked_stays_share"),
        rule("moves", "exact_motion_share"),
        rule("moves", "tap_on_edge_share"),
        rule("walks", "found_share"),
        rule("walks", "facing_share"),
        rule("walks", "sharpness_least", figure="sharpness_at_end"),
        rule("walks", "sharpness_most", at_least=False, figure="sharpness_at_end"),
        rule("images", "psnr_gain_db_4", beside="sharpness_ratio_4"),
        rule("images", "psnr_gain_db_16", beside="sharpness_ratio_16"),
        rule("true", "true_tile_share"),
        rule("true", "true_wall_share"),
    ]
