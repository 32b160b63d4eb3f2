"""Panel 4: do dreamt frames, taken all together, look like frames of the game?"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32

from worldgen_core.evaluation.dream import Dream
from worldgen_core.evaluation.kernel_distance import kernel_distance, random_features
from worldgen_core.evaluation.starts import Starts

_FROM_FRAME = 8
_EVERY = 8
_MAX_FRAMES = 200
_MIN_FRAMES = 4


def distribution_panel(starts: Starts, dream: Dream, *, seed: int) -> dict[str, Any]:
    """Kernel distance of dreamt to true frames beside its null, that of true frames to other true ones.

    Frames from the eighth on count. Both distances compare even-numbered starts with odd-numbered ones, so
    that no frame is ever compared with its own twin; the dream's is the mean of (dream even, truth odd) and
    (truth even, dream odd). Near the null is as good as it gets. None where too few starts live on.
    """
    even, odd = (_pick(starts, parity) for parity in (0, 1))
    if min(len(even[0]), len(odd[0])) < _MIN_FRAMES:
        return {"kernel_distance": None, "kernel_distance_null": None, "num_frames": 0}
    described = {
        (name, parity): random_features(frames[picked], seed=seed)
        for name, frames in (("truth", starts.truth), ("dream", dream.frames))
        for parity, picked in enumerate((even, odd))
    }
    true_frames = np.concatenate([described["truth", 0], described["truth", 1]])
    # One scale for all features: those of still parts hardly vary, and alone they would drown the others.
    mean, scale = true_frames.mean(axis=0), float(np.sqrt(true_frames.var(axis=0).mean())) + 1e-6
    scaled: dict[tuple[str, int], Float32[np.ndarray, "n f"]] = {
        key: (features - mean) / scale for key, features in described.items()
    }
    crossed = [
        kernel_distance(scaled["dream", 0], scaled["truth", 1]),
        kernel_distance(scaled["truth", 0], scaled["dream", 1]),
    ]
    return {
        "kernel_distance": float(np.mean(crossed)),
        "kernel_distance_null": kernel_distance(scaled["truth", 0], scaled["truth", 1]),
        "num_frames": len(even[0]) + len(odd[0]),
    }


def _pick(starts: Starts, parity: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the living frames of every other start, at most 200, evenly spread."""
    wanted = starts.alive.copy()
    wanted[1 - parity :: 2] = False
    wanted[:, : _FROM_FRAME - 1] = False
    wanted[:, np.arange(wanted.shape[1]) % _EVERY != _EVERY - 1] = False
    rows, columns = np.nonzero(wanted)
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), _MAX_FRAMES)).astype(int)
    return rows[chosen], columns[chosen]
