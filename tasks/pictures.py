"""Pictures for the Prefect UI, which shows them only as `data:` URLs inside markdown.

A picture too big for that is shrunk until it fits: an animation to its beginning, fewer frames and half the
size, a still to 256 colours, JPEG and half the size. The files themselves stay as they are.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageSequence

from storage.errors import StorageError

MAX_URL_CHARS = 100_000
_MIN_SIDE = 16
_ANIMATIONS = (
    (1, 2, 1.0),
    (1, 2, 0.5),
    (2, 2, 1.0),
    (2, 2, 0.5),
    (2, 3, 0.33),
    (4, 2, 1.0),
    (4, 8, 1.0),
    (8, 16, 1.0),
)
"""Divisor of the size, every how many frames, which share of them: a short one beats a tiny one."""
_MIME = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


def data_url(picture: Path, *, max_chars: int = MAX_URL_CHARS) -> str:
    """Return a PNG, GIF or JPEG file as a `data:` URL of fewer than `max_chars` characters.

    Raises: StorageError if the file is no such picture or cannot be made small enough.
    """
    mime = _MIME.get(picture.suffix.lower())
    if mime is None:
        raise _unusable(picture, f"a file that ends in {picture.suffix!r}")
    url = _as_url(mime, picture.read_bytes())
    if len(url) < max_chars:
        return url
    try:
        return next(small for small in _smaller(picture) if len(small) < max_chars)
    except StopIteration:
        raise _unusable(picture, f"one that does not fit into {max_chars} characters") from None
    except OSError as error:
        raise _unusable(picture, f"a damaged one ({error})") from error


def _smaller(picture: Path) -> Iterator[str]:
    with Image.open(picture) as image:
        if getattr(image, "n_frames", 1) > 1:
            yield from _smaller_animation(image)
        else:
            yield from _smaller_still(image)


def _smaller_animation(image: Image.Image) -> Iterator[str]:
    durations = [int(frame.info.get("duration", 100)) for frame in ImageSequence.Iterator(image)]
    frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
    for scale, keep_every, share in _ANIMATIONS:
        shown = range(0, max(1, int(share * len(frames))), keep_every)
        kept = [_shrink(frames[i], scale).quantize(128, Image.Quantize.FASTOCTREE) for i in shown]
        if min(kept[0].size) < _MIN_SIDE:
            return
        pauses = [sum(durations[i : i + keep_every]) for i in shown]
        yield _as_url("image/gif", _encode(lambda out, k=kept, p=pauses: _save_gif(out, k, p)))


def _save_gif(out: io.BytesIO, frames: list[Image.Image], durations: list[int]) -> None:
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _smaller_still(image: Image.Image) -> Iterator[str]:
    image = image.convert("RGB")
    for scale in (1, 2, 4, 8):
        small = _shrink(image, scale)
        if min(small.size) < _MIN_SIDE:
            return
        # Plots and pixel art fit into 256 colours; photographs do not, and are smaller as JPEG.
        palette = small.quantize(256, Image.Quantize.FASTOCTREE)
        yield _as_url("image/png", _encode(lambda out, p=palette: p.save(out, "PNG")))
        yield _as_url("image/jpeg", _encode(lambda out, s=small: s.save(out, "JPEG", quality=85)))


def _shrink(image: Image.Image, scale: int) -> Image.Image:
    if scale == 1:
        return image
    width, height = image.size
    return image.resize((max(1, width // scale), max(1, height // scale)), Image.Resampling.BOX)


def _encode(save: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()


def _as_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _unusable(picture: Path, found: str) -> StorageError:
    return StorageError(
        f"{picture}",
        expected="a PNG, GIF or JPEG picture to show in the Prefect UI",
        found=found,
        next_step="fix what writes it, and name only pictures in the stage's `figures`",
    )
