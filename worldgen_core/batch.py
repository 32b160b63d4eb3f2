"""Where NumPy becomes torch, and nowhere else: clips of a dataset as batches for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from storage.records import Clip


class ClipBatch(NamedTuple):
    """Clips of one length; `act[:, i]` leads from `obs[:, i]` to `obs[:, i + 1]`.

    `mask` is False on what follows the end of the life in which a clip starts.
    """

    obs: UInt8[Tensor, "b t h w c"]
    act: Int64[Tensor, "b t"]
    end: Bool[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]


def array_to_tensor(array: np.ndarray) -> Tensor:
    """Return a tensor that holds a copy of the array, so that neither sees changes of the other."""
    return torch.tensor(array)


def collate(clips: Sequence[Clip]) -> ClipBatch:
    """Stack clips of equal length into one batch."""
    end = torch.from_numpy(np.stack([clip.terminated for clip in clips]))
    dead = end | torch.from_numpy(np.stack([clip.truncated for clip in clips]))
    return ClipBatch(
        obs=torch.from_numpy(np.stack([clip.frames for clip in clips])),
        act=torch.from_numpy(np.stack([clip.action for clip in clips])),
        end=end,
        mask=dead.cumsum(1) - dead.long() == 0,
    )


def picture(frame: UInt8[np.ndarray, "h w c"]) -> UInt8[Tensor, "1 c h w"]:
    """One NumPy frame as a batch of one, channels first."""
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
