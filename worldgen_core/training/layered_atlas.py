"""From scenes to maps of tiles: where tiles' corners are, which tiles there are, and what lies where.

A scene's map is a mosaic of all that its camera saw, one cell a tile, the median over the frames that show
the cell whole: people who walk and water that glitters drop out. k-means over the cells of all maps makes the
book.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from worldgen_core.batch import array_to_tensor
from worldgen_core.models.layered_tiles import NO_TILE, cut_tiles, distances, grid_costs
from worldgen_core.training.layered_scenes import Scene

_MAX_LOOKS = 9
"""Frames over which a cell's median is taken."""
_NUM_ANCHOR_CELLS = 700
"""Cells by which the drawn grid is found."""
_CHUNK = 4096


class AtlasSettings(BaseModel):
    """How the book of tiles is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tiles: int = Field(default=768, ge=2)
    """Tiles in the book at most."""
    tolerance: float = Field(default=9.0, gt=0)
    """Grey levels (root mean square) by which two pictures of one tile differ; raising it merges more."""
    num_iterations: int = Field(default=6, ge=0)
    """Rounds of k-means after the first choice."""
    look_every: int = Field(default=3, ge=1)
    """Every how many-th frame of a scene is looked at."""


@dataclass(frozen=True, slots=True)
class TileMap:
    """What lies where in a scene, one entry a cell of the grid."""

    ids: Int64[Tensor, "rows columns"]
    """NO_TILE where the camera never saw the whole cell."""
    origin: tuple[int, int]
    """World (y, x) of the upper left corner of cell (0, 0)."""


@dataclass(frozen=True, slots=True)
class Atlas:
    """The maps of all scenes and the book that they refer to."""

    maps: tuple[TileMap, ...]
    book: Float32[Tensor, "k p"]
    scenes: tuple[Scene, ...]
    """The scenes of the maps, in their order, on the grid as it is drawn."""
    anchor: tuple[int, int]
    """(corner of a resting player's box - corner of a drawn tile) modulo a tile; y, x."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of one scene with their pictures."""

    where: Int64[np.ndarray, "n 2"]
    """(row, column), the first of each axis being 0."""
    pictures: Float32[np.ndarray, "n p"]
    origin: tuple[int, int]


def make_atlas(scenes: Sequence[Scene], tile_px: int, settings: AtlasSettings, *, seed: int) -> Atlas:
    """Find the drawn grid, make the book, and read every scene's map.

    Deterministic in scenes, settings and seed.
    """
    resting = [scene for scene in scenes if scene.is_on_grid]
    anchor = find_anchor(resting, tile_px, settings.tolerance, seed=seed)
    resting = [replace(scene, grid=(scene.grid - anchor) % tile_px) for scene in resting]
    cells = [_cells_of(scene, tile_px, settings.look_every) for scene in resting]
    pictures = array_to_tensor(np.concatenate([own.pictures for own in cells]))
    book = make_book(pictures, settings, seed=seed)
    others = [_on_grid(scene, book, tile_px) for scene in scenes if not scene.is_on_grid]
    cells += [_cells_of(scene, tile_px, settings.look_every) for scene in others]
    maps = tuple(_map_of(own, book) for own in cells if len(own.where))
    kept = tuple(scene for scene, own in zip([*resting, *others], cells, strict=True) if len(own.where))
    return Atlas(maps, book, kept, anchor)


def find_anchor(scenes: Sequence[Scene], tile_px: int, tolerance: float, *, seed: int) -> tuple[int, int]:
    """Where on the drawn grid a resting player's box begins: the offset at which there are fewest tiles.

    At the right offset the world is made of few tiles that come again and again; elsewhere, of all the pairs
    that lie side by side.
    """
    rng = np.random.default_rng(seed)
    best, anchor = 1.0, (0, 0)
    for y in range(tile_px):
        for x in range(tile_px):
            tiles = array_to_tensor(_random_tiles(scenes, (y, x), tile_px, rng))
            share = _num_looks(tiles, tolerance) / len(tiles)
            if share < best:
                best, anchor = share, (y, x)
    return anchor


def _random_tiles(
    scenes: Sequence[Scene], anchor: tuple[int, int], tile_px: int, rng: np.random.Generator
) -> Float32[np.ndarray, "n p"]:
    """Known tiles from random places of random frames, at the grid that an anchor would mean."""
    lengths = np.array([len(scene.frames) for scene in scenes])
    tiles: list[np.ndarray] = []
    for index in rng.choice(len(scenes), _NUM_ANCHOR_CELLS, p=lengths / lengths.sum()).tolist():
        scene = scenes[index]
        frame = int(rng.integers(len(scene.frames)))
        first = (scene.grid - np.array(anchor) - scene.camera[frame]) % tile_px
        num = (np.array(scene.frames.shape[1:3]) - first) // tile_px
        y, x = (first + tile_px * rng.integers(num)).tolist()
        spans = slice(y, y + tile_px), slice(x, x + tile_px)
        if scene.is_known[frame][spans].all():
            tiles.append(scene.frames[frame][spans].reshape(-1).astype(np.float32))
    return np.stack(tiles)


def _num_looks(tiles: Float32[Tensor, "n p"], tolerance: float) -> int:
    """How many tiles are needed so that every tile is within the tolerance of one of them."""
    squares = distances(tiles, torch.ones_like(tiles, dtype=torch.bool), tiles)
    is_near = squares <= tolerance**2
    is_covered = torch.zeros(len(tiles), dtype=torch.bool)
    num_looks = 0
    for row, near in enumerate(is_near):
        if not is_covered[row]:
            num_looks += 1
            is_covered |= near
    return num_looks


def _on_grid(scene: Scene, book: Float32[Tensor, "k p"], tile_px: int) -> Scene:
    """The scene with the grid that fits the book best in its middle frame."""
    middle = len(scene.frames) // 2
    costs = grid_costs(
        array_to_tensor(scene.frames[middle]), array_to_tensor(scene.is_known[middle]), book, tile_px
    )
    on_screen = np.array(divmod(int(costs.argmin()), tile_px), np.int64)
    return replace(scene, grid=(scene.camera[middle] + on_screen) % tile_px)


def _cells_of(scene: Scene, tile_px: int, look_every: int) -> _Cells:
    """Every cell that a scene shows whole, with the median of some of its pictures."""
    keys: list[np.ndarray] = []
    patches: list[np.ndarray] = []
    for frame in range(0, len(scene.frames), look_every):
        first = (scene.grid - scene.camera[frame]) % tile_px
        rows, columns = ((np.array(scene.frames.shape[1:3]) - first) // tile_px).tolist()
        y, x = first.tolist()
        spans = slice(y, y + rows * tile_px), slice(x, x + columns * tile_px)
        tiles = cut_tiles(array_to_tensor(scene.frames[frame][spans]), tile_px).flatten(0, 1).numpy()
        known = cut_tiles(array_to_tensor(scene.is_known[frame][spans][..., None]), tile_px).flatten(0, 1)
        whole = known.all(dim=1).numpy()
        corner = (scene.camera[frame] + first - scene.grid) // tile_px
        where = corner + np.indices((rows, columns)).reshape(2, -1).T
        keys.append(where[whole])
        patches.append(tiles[whole])
    return _medians(np.concatenate(keys), np.concatenate(patches), scene, tile_px)


def _medians(keys: Int64[np.ndarray, "n 2"], patches: np.ndarray, scene: Scene, tile_px: int) -> _Cells:
    if not len(keys):
        return _Cells(keys, patches.astype(np.float32), (0, 0))
    cells, inverse = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(inverse.ravel()))[:-1])
    pictures = np.stack([np.median(patches[_spread(group)], axis=0) for group in groups])
    least = cells.min(axis=0)
    y, x = (least * tile_px + scene.grid).tolist()
    return _Cells(cells - least, pictures.astype(np.float32), (y, x))


def _spread(group: np.ndarray) -> np.ndarray:
    return group[np.linspace(0, len(group) - 1, min(_MAX_LOOKS, len(group))).astype(int)]


def make_book(
    pictures: Float32[Tensor, "n p"], settings: AtlasSettings, *, seed: int
) -> Float32[Tensor, "k p"]:
    """A tile for every look further than the tolerance from all others, then k-means; commonest first."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = pictures[torch.randperm(len(pictures), generator=generator)]
    book = shuffled[:1]
    for chunk in shuffled.split(256):
        squares = distances(chunk, torch.ones_like(chunk, dtype=torch.bool), book).min(dim=1).values
        book = _add_strange(book, chunk[squares > settings.tolerance**2], settings)
        if len(book) >= settings.max_tiles:
            break
    for _ in range(settings.num_iterations):
        book = _means(pictures, nearest(pictures, book), book)
    counts = torch.bincount(nearest(pictures, book), minlength=len(book))
    order = counts.argsort(descending=True, stable=True)
    return book[order[counts[order] > 0]]


def _add_strange(
    book: Float32[Tensor, "k p"], strange: Float32[Tensor, "n p"], settings: AtlasSettings
) -> Float32[Tensor, "m p"]:
    """Add tiles one by one, as long as each is strange to those added before it."""
    first = len(book)
    for tile in strange[:, None]:
        new = book[first:]
        everything = torch.ones_like(tile, dtype=torch.bool)
        if not len(new) or float(distances(tile, everything, new).min()) > settings.tolerance**2:
            book = torch.cat([book, tile])
        if len(book) >= settings.max_tiles:
            break
    return book


def nearest(pictures: Float32[Tensor, "n p"], book: Float32[Tensor, "k p"]) -> Int64[Tensor, " n"]:
    """Index of the nearest tile of each picture."""
    chunks = pictures.split(_CHUNK)
    return torch.cat(
        [distances(part, torch.ones_like(part, dtype=torch.bool), book).argmin(1) for part in chunks]
    )


def _means(
    pictures: Float32[Tensor, "n p"], ids: Int64[Tensor, " n"], book: Float32[Tensor, "k p"]
) -> Float32[Tensor, "k p"]:
    sums = torch.zeros_like(book).index_add_(0, ids, pictures)
    counts = torch.bincount(ids, minlength=len(book))[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), book)


def _map_of(cells: _Cells, book: Float32[Tensor, "k p"]) -> TileMap:
    rows, columns = (cells.where.max(axis=0) + 1).tolist()
    ids = torch.full((rows, columns), NO_TILE, dtype=torch.int64)
    ids[tuple(array_to_tensor(cells.where).T)] = nearest(array_to_tensor(cells.pictures), book)
    return TileMap(ids, cells.origin)
