"""The book of tiles: what a tile of the game's world can look like, and which one a piece of picture shows.

Plain arithmetic over pixels, without weights to train: k-means made the book (worldgen_core/training).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

NO_TILE = -1
"""The id of a cell of which not enough is known."""


def distances(
    patches: Float32[Tensor, "n p"], is_known: Bool[Tensor, "n p"], book: Float32[Tensor, "k p"]
) -> Float32[Tensor, "n k"]:
    """Mean squared distance of every patch to every tile, over the values that are known of the patch.

    Values are grey levels 0 to 255; p = height x width x 3 of a tile. Infinite where nothing is known.
    """
    known = is_known.float()
    values = patches * known
    total = (values.square().sum(1, keepdim=True) - 2 * values @ book.T + known @ book.square().T).clamp(
        min=0
    )
    count = known.sum(1, keepdim=True)
    return torch.where(count > 0, total / count.clamp(min=1), torch.inf)


def tile_ids(
    patches: Float32[Tensor, "n p"],
    is_known: Bool[Tensor, "n p"],
    book: Float32[Tensor, "k p"],
    *,
    min_known: float = 0.5,
) -> Int64[Tensor, " n"]:
    """The nearest tile of each patch; NO_TILE where less than `min_known` of the patch is known."""
    ids = distances(patches, is_known, book).argmin(dim=1)
    return torch.where(is_known.float().mean(dim=1) >= min_known, ids, NO_TILE)


def cut_tiles(planes: Tensor, tile_px: int) -> Tensor:
    """Cut (h, w, c) into (h / tile_px, w / tile_px, tile_px * tile_px * c); both lengths must divide."""
    tiles = planes.unflatten(1, (-1, tile_px)).unflatten(0, (-1, tile_px))
    return tiles.permute(0, 2, 1, 3, 4).flatten(2)


def grid_costs(
    picture: UInt8[Tensor, "h w 3"],
    is_known: Bool[Tensor, "h w"],
    book: Float32[Tensor, "k p"],
    tile_px: int,
) -> Float32[Tensor, "tile_px tile_px"]:
    """How badly the picture's tiles fit the book if their corners lie at (y, x) modulo a tile.

    The cost is the mean over the known whole tiles of the root mean squared distance to the nearest tile, in
    grey levels; the lowest tells the grid.
    """
    costs = torch.full((tile_px, tile_px), torch.inf)
    height, width = picture.shape[:2]
    for y in range(tile_px):
        for x in range(tile_px):
            rows = slice(y, y + (height - y) // tile_px * tile_px)
            columns = slice(x, x + (width - x) // tile_px * tile_px)
            patches = cut_tiles(picture[rows, columns].float(), tile_px).flatten(0, 1)
            known = cut_tiles(is_known[rows, columns, None], tile_px).flatten(0, 1).all(dim=1)
            if known.any():
                chosen = patches[known]
                nearest = distances(chosen, torch.ones_like(chosen, dtype=torch.bool), book).min(dim=1).values
                costs[y, x] = nearest.sqrt().mean()
    return costs
