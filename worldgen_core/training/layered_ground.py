"""Which tiles can be walked on, guessed from where the player never went.

Footage holds few keys pressed against walls, so a network that learns from presses alone walks over roofs.
People go where they can: a tile beside which the player stood, which it never entered, and whose look it
never entered anywhere, is taken to be closed. Looks that are walked on somewhere say nothing.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from worldgen_core.models.layered_game import MoverGame
from worldgen_core.models.layered_state import UNKNOWN
from worldgen_core.tracking.settings import STEPS

CLOSED, FREE, SHUNNED = 0, 1, 2
"""Of a neighbouring tile: a key was pressed towards it in vain; entered; no tile like it was entered."""
_CHUNK = 2048


def mark_shunned(
    window: UInt8[Tensor, "n 4 side side"],
    is_free: Int64[Tensor, "n 4"],
    game: MoverGame,
    *,
    tolerance: float,
) -> Int64[Tensor, "n 4"]:
    """`is_free` with SHUNNED for tiles of which nothing is known but that nothing like them was ever entered.

    Two looks are alike if their pixels differ by less than `tolerance` grey levels (root mean square). Tiles
    that are not wholly known stay UNKNOWN.
    """
    looks, is_whole = _neighbours(window, game)
    entered = _distinct(looks[(is_free == FREE) & is_whole])
    asked = (is_free == UNKNOWN) & is_whole
    if not len(entered) or not asked.any():
        return is_free
    marked = is_free.clone()
    marked[asked] = torch.where(_distance(looks[asked], entered) > tolerance, SHUNNED, UNKNOWN)
    return marked


def _neighbours(
    window: UInt8[Tensor, "n 4 side side"], game: MoverGame
) -> tuple[UInt8[Tensor, "n 4 p"], Bool[Tensor, "n 4"]]:
    """Pixels of the tiles beside the middle one, by FACINGS, and which of them are wholly known."""
    tiles = rearrange(window, "n c (y p) (x q) -> n y x c (p q)", p=game.tile_px, q=game.tile_px)
    middle = tiles.shape[1] // 2
    beside = torch.stack([tiles[:, middle + dy, middle + dx] for dy, dx in STEPS.values()], dim=1)
    return beside[:, :, :3].flatten(2), (beside[:, :, 3] == 255).all(dim=2)


def _distinct(looks: UInt8[Tensor, "n p"]) -> UInt8[Tensor, "m p"]:
    """One of each look, those alike but for a few grey levels counted as one."""
    coarse = functional.avg_pool1d(looks.float()[:, None], 4)[:, 0].div(16).round().to(torch.uint8)
    _, group = torch.unique(coarse, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1 if len(group) else 0,), len(looks))
    first.scatter_reduce_(0, group, torch.arange(len(looks)), reduce="amin")
    return looks[first]


def _distance(looks: UInt8[Tensor, "n p"], others: UInt8[Tensor, "m p"]) -> Float32[Tensor, " n"]:
    """Root mean square difference to the nearest of the others."""
    ours, theirs = looks.float(), others.float()
    nearest = [torch.cdist(part, theirs).amin(dim=1) for part in ours.split(_CHUNK)]
    return torch.cat(nearest) / looks.shape[1] ** 0.5
