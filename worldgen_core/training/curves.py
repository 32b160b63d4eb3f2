"""Writes what a training run measured: metrics.jsonl first, and a picture of the same rows."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from worldgen_core.training.loop import Row

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"


def write_metrics(folder: Path, rows: Sequence[Row]) -> None:
    """Write one JSON object a row; no timings, so that the bytes depend on the settings alone."""
    path = folder / METRICS_FILE
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def write_curves(folder: Path, rows: Sequence[Row], *, names: Sequence[str], title: str) -> None:
    """Draw the named figures over the training steps; the PNG holds no date and no version."""
    figure = Figure(figsize=(7, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = [row["train_step"] for row in rows]
    for name in names:
        axes.plot(steps, [row[name] for row in rows], label=name, linewidth=1)
    axes.set(title=title, xlabel="training step")
    if all(row[name] > 0 for row in rows for name in names):
        axes.set_yscale("log")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    canvas.print_png(folder / CURVES_FILE, metadata={"Software": None})
