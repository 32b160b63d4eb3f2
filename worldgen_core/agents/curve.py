"""The learning curve: one row an evaluation, as JSON lines and as a picture."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from storage.atomic import write_bytes

CURVE_FILE, PICTURE_FILE = "learning_curve.jsonl", "learning_curve.png"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: after how many environment steps, games survived, frames survived on average.

    `boldness` is what was added to the scores of all actions but idle.
    """

    env_steps: int
    survivors: int
    mean_frames: float
    boldness: float = 0.0


def write_curve(folder: Path, rows: Sequence[Evaluation]) -> None:
    """Write the rows as JSON lines."""
    write_bytes(folder / CURVE_FILE, "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode())


def draw_curve(folder: Path, rows: Sequence[Evaluation], *, num_games: int, episode_length: int) -> None:
    """Draw survived frames and survivors over the training steps; the same rows give the same bytes."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left = figure.add_subplot()
    right = left.twinx()
    steps = [row.env_steps for row in rows]
    left.plot(steps, [row.mean_frames for row in rows], color="tab:blue", marker="o")
    right.plot(steps, [row.survivors for row in rows], color="tab:orange", marker="s", linestyle="--")
    left.set(xlabel="environment steps", ylim=(0, episode_length * 1.05))
    left.set_ylabel("frames survived, mean", color="tab:blue")
    right.set(ylim=(0, num_games * 1.05))
    right.set_ylabel(f"games of {num_games} that last {episode_length} frames", color="tab:orange")
    picture = io.BytesIO()
    canvas.print_png(picture, metadata={"Software": None})
    write_bytes(folder / PICTURE_FILE, picture.getvalue())
