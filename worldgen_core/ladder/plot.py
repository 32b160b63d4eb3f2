"""The ladder as one picture: a row a rung; frames a second, size, memory, and quality side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from worldgen_core.ladder.table import Line

_PUBLISHED, _OWN, _ASIDE, _INK, _FAINT = "#1d4ed8", "#c2410c", "#9ca3af", "#111827", "#6b7280"
_GAMES = ("#15803d", "#7c3aed")
_PLAYABLE = 15


def write_plot(lines: Sequence[Line], games: Sequence[str], path: Path, *, title: str) -> None:
    """Draw the table; what was not measured stays empty."""
    figure = Figure(figsize=(13, 1.6 + 0.36 * len(lines)), dpi=90, layout="constrained")
    axes = figure.subplots(1, 4, sharey=True, width_ratios=(5, 2.2, 2.2, 3))
    colours = [_colour(line) for line in lines]
    _bars(axes[0], [line.frames_per_s for line in lines], colours, [_rate(line) for line in lines])
    axes[0].axvline(_PLAYABLE, color=_INK, linestyle=":", linewidth=1)
    axes[0].set_title(f"frames a second (dotted: {_PLAYABLE})", fontsize=10)
    for place, values, name in (
        (axes[1], [line.weights_bytes for line in lines], "weights, MB"),
        (axes[2], [line.memory_bytes for line in lines], "memory, MB"),
    ):
        sizes = [None if value is None else value / 1e6 for value in values]
        _bars(place, sizes, colours, ["" if size is None else f"{size:.0f}" for size in sizes])
        place.set_title(name, fontsize=10)
    _quality(axes[3], lines, games)
    axes[0].set_yticks(range(len(lines)), [line.rung.name for line in lines])
    for label, colour in zip(axes[0].get_yticklabels(), colours, strict=True):
        label.set_color(colour if colour != _ASIDE else _FAINT)
    axes[0].set_ylim(len(lines) - 0.4, -0.6)
    figure.suptitle(
        f"{title}\nblue: as published; orange: our own; grey: beside the ladder",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    FigureCanvasAgg(figure).print_png(str(path), metadata={"Software": None})


def _colour(line: Line) -> str:
    return _ASIDE if line.rung.is_aside else _PUBLISHED if line.rung.is_published else _OWN


def _rate(line: Line) -> str:
    if line.failure:
        return "cannot run here"
    if line.frames_per_s is None or line.ratio is None:
        return "not trained" if line.rung.is_whole else ""
    times = f"{line.ratio:.2f}" if line.ratio < 10 else f"{line.ratio:.0f}"
    return f"{'~' if line.is_scaled else ''}{line.frames_per_s:.3g}   ({times} times)"


def _bars(axes: Axes, values: Sequence[float | None], colours: Sequence[str], labels: Sequence[str]) -> None:
    """Horizontal bars on a logarithmic scale, each with its figure at its end."""
    found = [value for value in values if value]
    least, most = (min(found), max(found)) if found else (1.0, 10.0)
    axes.set_xscale("log")
    axes.set_xlim(least / 2, most * 40)
    for row, (value, colour, label) in enumerate(zip(values, colours, labels, strict=True)):
        if value:
            axes.barh(row, value - least / 2, left=least / 2, color=colour, height=0.66)
        axes.annotate(
            f" {label}",
            (value or least / 2, row),
            fontsize=8,
            va="center",
            color=_INK if value else "#6b7280",
        )
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _quality(axes: Axes, lines: Sequence[Line], games: Sequence[str]) -> None:
    """Gain in PSNR over copying the last frame, a colour a game."""
    for index, (game, colour) in enumerate(zip(games, _GAMES, strict=False)):
        shift = 0.18 * (2 * index - len(games) + 1)
        gains = ((row + shift, _gain(line, game)) for row, line in enumerate(lines))
        points = [(gain, row) for row, gain in gains if gain is not None]
        if points:
            axes.scatter(*zip(*points, strict=True), color=colour, s=26, label=game, zorder=3)
        for gain, row in points:
            axes.annotate(f"  {gain:+.1f}", (gain, row), fontsize=7, va="center", color=colour)
    axes.axvline(0, color=_INK, linewidth=1)
    axes.margins(x=0.25)
    axes.set_title("PSNR gain at frame 16, dB", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="lower right")
    else:
        axes.text(0.5, 0.5, "no model is trained", transform=axes.transAxes, ha="center", color=_FAINT)


def _gain(line: Line, game: str) -> float | None:
    found = line.quality.get(game)
    return None if found is None else found.figures.get("psnr_gain_db_16")
