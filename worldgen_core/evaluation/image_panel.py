"""Panel 3: PSNR and SSIM by horizon, beside what costs nothing: the last frame, the nearest training frame.

Blurred pictures win PSNR, so the panel also has the sharpness of the dream as a ratio to the truth's.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from worldgen_core.batch import array_to_tensor
from worldgen_core.evaluation.dream import Dream
from worldgen_core.evaluation.image_metrics import psnr, sharpness, ssim
from worldgen_core.evaluation.starts import Starts
from worldgen_core.models.interface import WorldModel

HORIZONS = (1, 4, 16, 64)
_THUMBNAIL = (16, 24)


@runtime_checkable
class HasAutoencoder(Protocol):
    """A model that dreams in latents and can show what its autoencoder alone does to a frame."""

    def round_trip(self, frames: UInt8[Tensor, "b h w c"]) -> UInt8[Tensor, "b h w c"]:
        """Encode and decode, without any dreaming."""
        ...


@torch.inference_mode()
def round_trips(model: WorldModel, starts: Starts) -> dict[int, UInt8[np.ndarray, "n h w c"]] | None:
    """The true frames at each horizon after a pass through the model's autoencoder; None if it has none."""
    if not isinstance(model, HasAutoencoder):
        return None
    passed: dict[int, np.ndarray] = {}
    for after in _horizons(starts):
        frames = starts.truth[_living(starts, after), after - 1]
        passed[after] = model.round_trip(array_to_tensor(frames)).cpu().numpy() if len(frames) else frames
    return passed


def image_panel(
    starts: Starts,
    dream: Dream,
    *,
    training_frames: UInt8[np.ndarray, "m h w c"] | None,
    round_trips: dict[int, UInt8[np.ndarray, "n h w c"]] | None,
) -> dict[str, Any]:
    """Means over the starts that truly live at each horizon; None where none does.

    `training_frames` are candidates for the nearest-frame baseline; `round_trips` holds, by horizon, the
    true frames after a pass through the model's autoencoder.
    """
    panel: dict[str, Any] = {}
    for after in _horizons(starts):
        rows = _living(starts, after)
        truth = starts.truth[rows, after - 1]
        candidates = {"": dream.frames[rows, after - 1], "copy_last_": starts.context[rows, -1]}
        if training_frames is not None and len(training_frames):
            candidates["nearest_training_"] = nearest_frames(training_frames, truth)
        if round_trips is not None:
            candidates["round_trip_"] = round_trips[after]
        for name, frames in candidates.items():
            panel[f"{name}psnr_{after}"] = _mean(psnr(frames, truth)) if len(rows) else None
            panel[f"{name}ssim_{after}"] = _mean(ssim(frames, truth)) if len(rows) else None
        panel[f"psnr_gain_db_{after}"] = (
            panel[f"psnr_{after}"] - panel[f"copy_last_psnr_{after}"] if len(rows) else None
        )
        panel[f"sharpness_ratio_{after}"] = (
            _mean(sharpness(candidates[""])) / _mean(sharpness(truth)) if len(rows) else None
        )
        panel[f"num_frames_{after}"] = len(rows)
    return panel


def nearest_frames(
    candidates: UInt8[np.ndarray, "m h w c"], targets: UInt8[np.ndarray, "n h w c"]
) -> UInt8[np.ndarray, "n h w c"]:
    """The candidate that looks most like each target, compared at thumbnail size."""
    a, b = _thumbnails(candidates), _thumbnails(targets)
    distance = (a**2).sum(axis=1)[None] - 2 * b @ a.T
    return candidates[distance.argmin(axis=1)]


def _horizons(starts: Starts) -> list[int]:
    return [after for after in HORIZONS if after <= starts.action.shape[1]]


def _living(starts: Starts, after: int) -> Int64[np.ndarray, " rows"]:
    return np.flatnonzero(starts.alive[:, after - 1])


def _thumbnails(frames: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n p"]:
    small = [cv2.resize(frame, _THUMBNAIL, interpolation=cv2.INTER_AREA).ravel() for frame in frames]
    return np.array(small, dtype=np.float32).reshape(len(frames), -1)


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64))
