"""Still pictures of an evaluation: film strips and curves; the same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from worldgen_core.evaluation.animation import common_palette, enlarge
from worldgen_core.evaluation.dream import Dream
from worldgen_core.evaluation.image_panel import HORIZONS
from worldgen_core.evaluation.own_play import Play
from worldgen_core.evaluation.starts import Starts
from worldgen_core.evaluation.walks_panel import Walk

STRIP_FRAMES = (0, 1, 2, 4, 8, 16, 32, 64, 128)
_GAP, _LEFT, _TOP = 4, 64, 20
_WALK_COLUMNS, _WALK_ROWS = 9, 4
_DREAM, _TRUE, _PLAIN = "#c2410c", "#1d4ed8", "#6b7280"

Strip = tuple[str, Sequence[UInt8[np.ndarray, "h w c"]]]
"""A row of a film strip: its name and its frames."""


def write_filmstrip(starts: Starts, dream: Dream, path: Path, *, scale: int) -> None:
    """Truth above dream after 0, 1, 2, 4 … 128 frames, of a start that lives longest."""
    row = int(starts.death.argmax())
    last = int(min(starts.death[row], starts.action.shape[1]))
    afters = [after for after in STRIP_FRAMES if after <= last]
    begin = starts.context[row, -1]
    strips: list[Strip] = [
        (name, [begin if after == 0 else frames[row, after - 1] for after in afters])
        for name, frames in (("game", starts.truth), ("dream", dream.frames))
    ]
    _save_png(_draw_strips(strips, [str(after) for after in afters], scale), path)


def write_strips(strips: Sequence[Strip], captions: Sequence[str], path: Path, *, scale: int) -> None:
    """Rows of frames, each with its name, below the captions of their columns."""
    _save_png(_draw_strips(strips, captions, scale), path)


def write_walks(walks: Sequence[Walk], path: Path, *, scale: int) -> None:
    """The recording above the dream, at even distances, of a few walks."""
    num_frames = len(walks[0].action)
    columns = np.linspace(1, num_frames, min(_WALK_COLUMNS, num_frames)).astype(int)
    chosen = [
        walks[index] for index in np.linspace(0, len(walks) - 1, min(_WALK_ROWS, len(walks))).astype(int)
    ]
    strips: list[Strip] = [
        (name, [frames[column - 1] for column in columns])
        for walk in chosen
        for name, frames in (("game", walk.truth), ("dream", walk.dream))
    ]
    _save_png(_draw_strips(strips, [str(column) for column in columns], scale), path)


def write_own_play(own: Play, path: Path, *, scale: int) -> None:
    """A row per player, in the dream with its own chance, at even distances."""
    names = list(dict.fromkeys(own.players))
    strips: list[Strip] = [(name, list(own.stills[own.of(name)[0]])) for name in names]
    num_frames, num_stills = own.over.shape[1], own.stills.shape[1]
    columns = np.linspace(1, num_frames, num_stills).astype(int)
    _save_png(_draw_strips(strips, [str(column) for column in columns], scale), path)


def write_curves(report: Mapping[str, Any], path: Path) -> None:
    """What was found of the player, PSNR and sharpness over time, as far as they were measured."""
    figure = Figure(figsize=(9, 6), dpi=80, layout="constrained")
    axes = figure.subplots(2, 2)
    state = report["series"].get("state")
    if state:
        _lines(axes[0][0], state, {"bird_found": (_DREAM, "dream"), "reader_bird_found": (_TRUE, "game")})
        _label(axes[0][0], "player found (share of living starts)", "frames dreamt")
        axes[0][0].set_ylim(0, 1.05)
        _lines(
            axes[0][1],
            state,
            {"height_error_px": (_DREAM, "dream"), "reader_height_error_px": (_TRUE, "reader alone")},
        )
        _label(axes[0][1], "mean height error (native px)", "frames dreamt")
    walks = report["series"].get("walks")
    if walks:
        _lines(axes[0][0], walks, {"found": (_DREAM, "dream"), "reader_found": (_TRUE, "reader alone")})
        _label(axes[0][0], "player where it belongs (share of frames)", "frames of a walk")
        _lines(axes[0][1], walks, {"facing": (_DREAM, "dream")})
        _label(axes[0][1], "player faces as in the recording", "frames of a walk")
        axes[0][0].set_ylim(0, 1.05)
        axes[0][1].set_ylim(0, 1.05)
    _psnr_lines(axes[1][0], report["panels"]["images"])
    _lines(
        axes[1][1],
        report["series"]["stability"],
        {
            "lowest_sharpness_ratio": (_PLAIN, "lowest"),
            "mean_sharpness_ratio": (_DREAM, "mean"),
            "highest_sharpness_ratio": (_PLAIN, "highest"),
        },
    )
    _label(axes[1][1], "sharpness against true play, by segment", "frames of own play")
    FigureCanvasAgg(figure).print_png(str(path), metadata={"Software": None})


def _psnr_lines(axes: Axes, images: Mapping[str, Any]) -> None:
    drawn = {
        "": (_DREAM, "dream"),
        "copy_last_": (_PLAIN, "last frame"),
        "round_trip_": (_TRUE, "autoencoder"),
    }
    drawn["nearest_training_"] = ("#15803d", "nearest training frame")
    for name, (colour, label) in drawn.items():
        afters = [after for after in HORIZONS if images.get(f"{name}psnr_{after}") is not None]
        values = [images[f"{name}psnr_{after}"] for after in afters]
        if afters:
            axes.plot(afters, values, color=colour, marker="o", markersize=3, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(HORIZONS, [str(after) for after in HORIZONS])
    _label(axes, "PSNR (dB)", "frames dreamt")


def _lines(axes: Axes, series: Mapping[str, Any], drawn: Mapping[str, tuple[str, str]]) -> None:
    for name, (colour, label) in drawn.items():
        values = [np.nan if value is None else value for value in series[name]]
        axes.plot(series["frame"], values, color=colour, label=label)


def _label(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(below, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)


def _draw_strips(strips: Sequence[Strip], captions: Sequence[str], scale: int) -> Image.Image:
    height, width = (side * scale for side in strips[0][1][0].shape[:2])
    left = max(_LEFT, *(8 * len(name) + 12 for name, _ in strips))
    size = (left + len(captions) * (width + _GAP), _TOP + len(strips) * (height + _GAP))
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(14)
    for column, caption in enumerate(captions):
        x = left + column * (width + _GAP)
        draw.text((x + width // 2, _TOP // 2), caption, fill="black", font=font, anchor="mm")
    for i, (name, frames) in enumerate(strips):
        y = _TOP + i * (height + _GAP)
        draw.text((left // 2, y + height // 2), name, fill="black", font=font, anchor="mm")
        for column, frame in enumerate(frames):
            page.paste(enlarge(frame, scale), (left + column * (width + _GAP), y))
    return page


def _save_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG of 256 colours, which is a third of the size and looks the same."""
    few = picture.quantize(palette=common_palette([picture], 256), dither=Image.Dither.NONE)
    few.save(path, format="PNG", optimize=True)
