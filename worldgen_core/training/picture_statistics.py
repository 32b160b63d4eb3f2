"""What training frames have in common: the background behind everything, and how the rest moves."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8

from storage.clips import ClipReader
from worldgen_core.errors import ConfigError
from worldgen_core.seeds import derive_seed

NUM_SAMPLES = 240
MAX_SCROLL = 4


def sample_pairs(reader: ClipReader, *, seed: int) -> UInt8[np.ndarray, "n 2 h w c"]:
    """Pairs of consecutive frames of the training split, within a life, spread at random."""
    episodes = reader.episodes("train")
    index, start = reader.clip_starts(2, "train")
    if not len(start):
        raise ConfigError(
            f"{reader.folder}: training split",
            expected="lives of at least two frames",
            found="none",
            next_step="capture more episodes",
        )
    rng = np.random.default_rng(derive_seed(seed, "picture_statistics"))
    chosen = np.sort(rng.choice(len(start), min(NUM_SAMPLES, len(start)), replace=False))
    clips = [reader.read(episodes[int(index[i])].episode_id, int(start[i]), 2) for i in chosen]
    return np.stack([clip.frames for clip in clips])


def median_background(pairs: UInt8[np.ndarray, "n 2 h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """The value that each pixel shows most of the time."""
    return np.median(pairs[:, 0], axis=0).round().astype(np.uint8)


def usual_scroll(
    pairs: UInt8[np.ndarray, "n 2 h w c"], background: UInt8[np.ndarray, "h w c"] | None
) -> tuple[int, int]:
    """Pixels (down, right) by which what is not background mostly moves from a frame to the next.

    The whole shift of at most four pixels whose copy of the last frame errs least; (0, 0) wins ties.
    """
    foreground = pairs.astype(np.float32) - (0.0 if background is None else background.astype(np.float32))
    shifts = [
        (down, right)
        for down in range(-MAX_SCROLL, MAX_SCROLL + 1)
        for right in range(-MAX_SCROLL, MAX_SCROLL + 1)
    ]
    shifts.sort(key=lambda shift: abs(shift[0]) + abs(shift[1]))
    errors = [_error_of(foreground[:, 0], foreground[:, 1], shift) for shift in shifts]
    return shifts[int(np.argmin(errors))]


def _error_of(
    last: Float32[np.ndarray, "n h w c"], following: Float32[np.ndarray, "n h w c"], shift: tuple[int, int]
) -> float:
    moved = np.roll(last, shift, axis=(1, 2))
    inner = (slice(None), slice(MAX_SCROLL, -MAX_SCROLL), slice(MAX_SCROLL, -MAX_SCROLL))
    return float(np.abs(moved[inner] - following[inner]).mean())
