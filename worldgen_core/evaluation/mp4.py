"""Writes H.264 videos; apart from GIFs so that the evaluate stage does not depend on an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image


def write_mp4(pictures: Sequence[Image.Image], path: Path, *, fps: int | float) -> None:
    """Write an H.264 video that browsers play."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        # 4:2:0 needs even sides.
        stream.width = pictures[0].width // 2 * 2
        stream.height = pictures[0].height // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "16", "preset": "medium"}
        for picture in pictures:
            cropped = picture.crop((0, 0, stream.width, stream.height))
            container.mux(stream.encode(av.VideoFrame.from_image(cropped)))
        container.mux(stream.encode())
