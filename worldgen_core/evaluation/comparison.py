"""One table of several models of one dataset: what each is worth, how fast, how large, how long it took.

Figures are those of the stages `evaluate`, `benchmark` and `train_model`, taken from what they published;
nothing is measured here, and nothing is added up into one number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entrant:
    """One model: its report, and the notes and metrics of its benchmark and training."""

    model: str
    report: Mapping[str, Any]
    timings: Mapping[str, Any]
    """Notes of stage `benchmark`."""
    facts: Mapping[str, Any]
    """Metrics of stage `benchmark`."""
    training_s: float
    """Seconds that the training took, autoencoder, latents and upsampler included."""
    training_flops: int
    """Operations of the networks in these trainings."""


@dataclass(frozen=True)
class Row:
    """One figure of every model, in their order, as text; `limit` is what a playable dream needs."""

    name: str
    values: tuple[str, ...]
    limit: str = ""


def compare(entrants: Sequence[Entrant]) -> list[Row]:
    """The table, line by line; a figure that a model lacks is "-"."""
    limits = {row["name"]: _limit(row) for one in entrants for row in one.report["criteria"]}
    values = [{row["name"]: row["value"] for row in one.report["criteria"]} for one in entrants]
    passed = [f"{one.report['num_passed']} of {one.report['num_criteria']}" for one in entrants]
    return [
        Row("criteria passed", tuple(passed)),
        *(Row(name, tuple(_number(own.get(name)) for own in values), limits[name]) for name in limits),
        Row("frames a second", tuple(_number(one.timings.get("frames_per_s")) for one in entrants)),
        Row("latency p95, ms", tuple(_number(one.timings.get("latency_ms_p95")) for one in entrants)),
        Row("memory, MB", tuple(_number(one.timings.get("peak_memory_mb")) for one in entrants)),
        Row("parameters", tuple(f"{one.facts['num_parameters']:,}" for one in entrants)),
        Row("training, TFLOP", tuple(_number(one.training_flops / 1e12) for one in entrants)),
        Row("training, s", tuple(_number(one.training_s) for one in entrants)),
    ]


def as_markdown(entrants: Sequence[Entrant], rows: Sequence[Row]) -> str:
    """The table for a report."""
    head = ["", *(one.model for one in entrants), "wanted"]
    lines = [head, ["---"] * len(head), *([row.name, *row.values, row.limit] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _limit(row: Mapping[str, Any]) -> str:
    return f"{'at least' if row['at_least'] else 'at most'} {row['limit']:.4g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
