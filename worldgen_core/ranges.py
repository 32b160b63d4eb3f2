"""The two value ranges of pictures, and the only two functions that convert between them.

`ObsU8` is what is stored and shown: uint8, 0 to 255. `ObsUnit` is what models see: float32, -1 to 1. Both
functions round and never truncate, so all 256 levels survive any number of round trips.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

ObsU8 = UInt8[Tensor, "..."]
ObsUnit = Float[Tensor, "..."]


def to_unit(obs: ObsU8) -> ObsUnit:
    """Return the picture as float32 in [-1, 1]."""
    return obs.to(torch.float32) / 127.5 - 1.0


def to_u8(obs: ObsUnit) -> ObsU8:
    """Return the picture as uint8, clamped to [-1, 1] and rounded to the nearest level."""
    return ((obs.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
