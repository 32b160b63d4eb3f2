"""Composes truth and dream frame by frame, and writes GIFs; the same pictures give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from einops import rearrange
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
_PALETTE_SAMPLES = 16
_PACK = np.array([65536, 256, 1], dtype=np.uint32)
_REFINEMENTS = 3
_MOST_COLOURS = 20_000


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
    palette = common_palette(chosen, _NUM_COLOURS)
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


def common_palette(pictures: Sequence[Image.Image], num_colours: int) -> Image.Image:
    """A palette for `quantize` in which small things keep their colour beside wide ones.

    Every colour counts by the square root of its pixels; by area alone a bird would look like the pipes.
    """
    pixels = np.concatenate([rearrange(np.asarray(picture), "h w c -> (h w) c") for picture in pictures])
    # One number a colour sorts ten times faster than rows of three.
    packed, counts = np.unique(pixels.astype(np.uint32) @ _PACK, return_counts=True)
    weighted = np.repeat(packed, np.sqrt(counts).astype(int))
    # Noise has a colour a pixel, and refining takes its time for each: every n-th of the sorted ones will do
    # (noise over a megapixel: 9 s become 0.2 s at 0.3 dB).
    weighted = weighted[:: -(-len(weighted) // _MOST_COLOURS)]
    colours = np.stack([weighted // factor % 256 for factor in _PACK], axis=-1).astype(np.uint8)
    samples = Image.fromarray(colours[None])
    dither = Image.Dither.NONE
    method = Image.Quantize.MEDIANCUT
    return samples.quantize(num_colours, method=method, kmeans=_REFINEMENTS, dither=dither)


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
