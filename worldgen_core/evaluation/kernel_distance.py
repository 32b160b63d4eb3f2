"""Kernel distance between two sets of pictures on features that need no download.

The distance is the unbiased squared maximum mean discrepancy with the cubic kernel of KID (Binkowski et al.
2018, arXiv:1801.01401). Departure: in place of an ImageNet network the features are one layer of random 8x8
filters with rectification, pooled by mean and maximum over a 4x4 grid; they see colour, edges and where
things are, not what they are.
"""

from __future__ import annotations

import numpy as np
from einops import rearrange
from jaxtyping import Float32, UInt8

_PATCH = 8
_STRIDE = 4
_NUM_FILTERS = 48
_GRID = 4


def random_features(frames: UInt8[np.ndarray, "n h w c"], *, seed: int) -> Float32[np.ndarray, "n features"]:
    """Describe every frame by pooled responses of random filters; the same seed gives the same filters."""
    num_channels = frames.shape[-1]
    filters = np.random.default_rng(seed).standard_normal((_PATCH * _PATCH * num_channels, _NUM_FILTERS))
    scaled = (filters / np.sqrt(filters.shape[0])).astype(np.float32)
    return np.stack([_features_of_frame(frame, scaled) for frame in frames])


def kernel_distance(a: Float32[np.ndarray, "n features"], b: Float32[np.ndarray, "m features"]) -> float:
    """Unbiased squared MMD with the kernel (x·y/d + 1)³; near 0, also below, when both sets are alike."""
    num_a, num_b = len(a), len(b)
    within_a = _kernel(a, a)
    within_b = _kernel(b, b)
    mean_a = (within_a.sum() - np.trace(within_a)) / (num_a * (num_a - 1))
    mean_b = (within_b.sum() - np.trace(within_b)) / (num_b * (num_b - 1))
    return float(mean_a + mean_b - 2 * _kernel(a, b).mean())


def _features_of_frame(
    frame: UInt8[np.ndarray, "h w c"], filters: Float32[np.ndarray, "p f"]
) -> Float32[np.ndarray, " features"]:
    unit = frame.astype(np.float32) / 127.5 - 1
    windows = np.lib.stride_tricks.sliding_window_view(unit, (_PATCH, _PATCH), axis=(0, 1))
    patches = rearrange(windows[::_STRIDE, ::_STRIDE], "y x c p q -> y x (c p q)")
    rows, columns = patches.shape[:2]
    response = np.maximum(patches @ filters, 0)
    cells = [
        cell
        for band in np.array_split(response, min(_GRID, rows), axis=0)
        for cell in np.array_split(band, min(_GRID, columns), axis=1)
    ]
    pooled = [pool(cell, axis=(0, 1)) for cell in cells for pool in (np.mean, np.max)]
    return np.concatenate(pooled).astype(np.float32)


def _kernel(a: Float32[np.ndarray, "n d"], b: Float32[np.ndarray, "m d"]) -> np.ndarray:
    return (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3
