"""Writes H.264 videos; apart from GIFs so that the evaluate stage does not depend on an encoder."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from PIL import Image


def write_mp4(pictures: Iterable[Image.Image], path: Path, *, fps: int | float) -> None:
    """Write an H.264 video that browsers play; holds one picture at a time."""
    rest = iter(pictures)
    first = next(rest)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        # 4:2:0 needs even sides.
        stream.width = first.width // 2 * 2
        stream.height = first.height // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "16", "preset": "medium"}
        for picture in chain([first], rest):
            cropped = picture.crop((0, 0, stream.width, stream.height))
            container.mux(stream.encode(av.VideoFrame.from_image(cropped)))
        container.mux(stream.encode())
