"""Composes truth and dream frame by frame, and writes GIFs; the same pictures give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from worldgen_core.evaluation.sample_play import Sample

_GAP = 6
_BAR = 22
_INK = (236, 239, 244)
_FADED = (120, 128, 140)
_PAPER = (28, 31, 38)
_ALARM = (255, 122, 92)
_NUM_COLOURS = 48
_PALETTE_SAMPLES = 24


def enlarge(frame: UInt8[np.ndarray, "h w c"], scale: int) -> Image.Image:
    """Return the frame as a picture, every pixel a square of `scale` pixels."""
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def compose(sample: Sample, *, action_names: Sequence[str], scale: int) -> list[Image.Image]:
    """A picture per frame: the game left, the dream right, above them who is who, below them the action."""
    over = np.stack([sample.truth_over, sample.dream_over], axis=1)
    frames = zip(sample.truth, sample.dream, strict=True)
    return [
        _pair(pair, action_names[int(act)], ends, scale)
        for pair, act, ends in zip(frames, sample.action, over, strict=True)
    ]


def write_gif(pictures: Sequence[Image.Image], path: Path, *, fps: int | float) -> None:
    """Write an endless GIF with one palette for all and no dithering, so that still parts stay still."""
    chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, _PALETTE_SAMPLES).astype(int)]
    strip = Image.new("RGB", (chosen[0].width, chosen[0].height * len(chosen)))
    for row, picture in enumerate(chosen):
        strip.paste(picture, (0, row * picture.height))
    palette = strip.quantize(_NUM_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    # GIF counts time in hundredths of a second.
    duration_ms = max(2, round(100 / fps)) * 10
    frames[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=duration_ms,
        loop=0,
        optimize=False,
        disposal=1,
    )


def _pair(
    frames: tuple[np.ndarray, np.ndarray], action_name: str, ends: np.ndarray, scale: int
) -> Image.Image:
    left, right = (enlarge(frame, scale) for frame in frames)
    page = Image.new("RGB", (left.width + right.width + _GAP, left.height + 2 * _BAR), _PAPER)
    page.paste(left, (0, _BAR))
    page.paste(right, (left.width + _GAP, _BAR))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(14)
    for x, word, end in zip((0, left.width + _GAP), ("game", "dream"), ends, strict=True):
        text = f"{word}: over" if end else word
        draw.text(
            (x + left.width // 2, _BAR // 2), text, fill=_ALARM if end else _INK, font=font, anchor="mm"
        )
    ink = _FADED if action_name in ("idle", "none", "noop") else _INK
    draw.text((page.width // 2, page.height - _BAR // 2), action_name, fill=ink, font=font, anchor="mm")
    return page
