"""The canvas of a dream: the player-free world as far as it was seen or drawn, in world coordinates.

Known pixels are never touched again, so what has scrolled away comes back as it was. Where the screen is
about to show land that nobody has looked at, whole tiles are decided once, by the tile network, and drawn.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from worldgen_core.models.layered_network import TileNetwork
from worldgen_core.models.layered_tiles import NO_TILE, cut_tiles, distances, tile_ids

_MARGIN = 16
"""Tiles by which a canvas grows beyond what is asked for."""
_MIN_KNOWN = 0.5
"""Share of a tile's pixels that must be known to call it seen."""
_FIT_LEVELS = 12.0
"""Grey levels that count as noise when a tile has to fit the pixels that are known of it."""


class Canvas:
    """One dream's world."""

    def __init__(self, grid: Int64[Tensor, " 2"], tile_px: int, book: Float32[Tensor, "k p"]) -> None:
        """An empty world whose tiles' corners lie at `grid` modulo `tile_px`."""
        self._tile_px, self._book = tile_px, book
        self._origin = grid % tile_px
        self._pixels = torch.zeros(0, 0, 3, dtype=torch.uint8)
        self._known = torch.zeros(0, 0, dtype=torch.bool)
        self._ids = torch.zeros(0, 0, dtype=torch.int64)

    def put(
        self,
        camera: Int64[Tensor, " 2"],
        screen: UInt8[Tensor, "h w 3"],
        is_known: Bool[Tensor, "h w"],
    ) -> None:
        """Take over the known pixels of a screen whose upper left corner is at `camera` in the world."""
        spans = self._spans(camera, screen.shape[:2])
        target = self._pixels[spans]
        self._pixels[spans] = torch.where(is_known[..., None], screen, target)
        self._known[spans] |= is_known
        self._ids[self._cells(spans)] = NO_TILE

    def show(
        self, camera: Int64[Tensor, " 2"], size: tuple[int, int]
    ) -> tuple[UInt8[Tensor, "h w 3"], Bool[Tensor, "h w"]]:
        """What is known of the world on a screen at `camera`, and where; unknown pixels are black."""
        spans = self._spans(camera, size)
        return self._pixels[spans], self._known[spans]

    def lacks(self, camera: Int64[Tensor, " 2"], size: tuple[int, int]) -> bool:
        """Whether a screen at `camera` shows anything unknown."""
        return not bool(self._known[self._spans(camera, size)].all())

    def window(
        self, camera: Int64[Tensor, " 2"], size: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[slice, slice]:
        """The cells of a window of `shape` tiles with a screen at `camera` in its middle."""
        rows, columns = self._cells(self._spans(camera, size))
        starts = [
            (span.start + span.stop - length) // 2
            for span, length in zip((rows, columns), shape, strict=True)
        ]
        return slice(starts[0], starts[0] + shape[0]), slice(starts[1], starts[1] + shape[1])

    def ids(self, window: tuple[slice, slice]) -> Int64[Tensor, "rows columns"]:
        """Ids of the tiles in a window of cells; NO_TILE where not enough is known."""
        seen = self._patch_masks(window).float().mean(dim=2) >= _MIN_KNOWN
        fresh = seen & (self._ids[window] == NO_TILE)
        if fresh.any():
            patches, masks = self._patches(window)[fresh], self._patch_masks(window)[fresh]
            self._ids[window][fresh] = tile_ids(patches, masks, self._book, min_known=_MIN_KNOWN)
        return self._ids[window].clone()

    def wanted(
        self, camera: Int64[Tensor, " 2"], size: tuple[int, int], window: tuple[slice, slice]
    ) -> Bool[Tensor, "rows columns"]:
        """Cells of a window that a screen at `camera` shows and that are not wholly known."""
        rows, columns = self._cells(self._spans(camera, size))
        wanted = torch.zeros(
            window[0].stop - window[0].start, window[1].stop - window[1].start, dtype=torch.bool
        )
        inside = (
            slice(rows.start - window[0].start, rows.stop - window[0].start),
            slice(columns.start - window[1].start, columns.stop - window[1].start),
        )
        wanted[inside] = ~self._patch_masks((rows, columns)).all(dim=2)
        return wanted

    def fit(self, window: tuple[slice, slice], cells: Bool[Tensor, "rows columns"]) -> Float32[Tensor, "n k"]:
        """Log likelihood of every tile in the given cells, by the pixels that are known of them."""
        patches, masks = self._patches(window)[cells], self._patch_masks(window)[cells]
        squares = distances(patches, masks, self._book)
        squares = torch.where(torch.isfinite(squares), squares, 0.0)
        return -squares * masks.float().sum(1, keepdim=True) / (2 * _FIT_LEVELS**2 * self._tile_px)

    def draw(
        self,
        window: tuple[slice, slice],
        cells: Bool[Tensor, "rows columns"],
        chosen: Int64[Tensor, " n"],
    ) -> None:
        """Draw tiles into cells of a window; pixels that are known stay as they are."""
        side = self._tile_px
        tiles = self._book[chosen].round().clamp(0, 255).to(torch.uint8).unflatten(1, (side, side, 3))
        for (row, column), tile in zip(cells.nonzero().tolist(), tiles, strict=True):
            y, x = (window[0].start + row) * side, (window[1].start + column) * side
            spans = slice(y, y + side), slice(x, x + side)
            self._pixels[spans] = torch.where(self._known[spans][..., None], self._pixels[spans], tile)
            self._known[spans] = True
        self._ids[window][cells] = chosen

    def _patches(self, window: tuple[slice, slice]) -> Float32[Tensor, "rows columns p"]:
        return cut_tiles(self._pixels[self._pixel_spans(window)].float(), self._tile_px)

    def _patch_masks(self, window: tuple[slice, slice]) -> Bool[Tensor, "rows columns p"]:
        masks = cut_tiles(self._known[self._pixel_spans(window)][..., None], self._tile_px)
        return masks.repeat_interleave(3, dim=2)

    def _pixel_spans(self, window: tuple[slice, slice]) -> tuple[slice, slice]:
        rows, columns = window
        side = self._tile_px
        return slice(rows.start * side, rows.stop * side), slice(columns.start * side, columns.stop * side)

    def _cells(self, spans: tuple[slice, slice]) -> tuple[slice, slice]:
        """The cells that a rectangle of pixels touches."""
        side = self._tile_px
        rows, columns = (slice(span.start // side, -(-span.stop // side)) for span in spans)
        return rows, columns

    def _spans(self, camera: Int64[Tensor, " 2"], size: tuple[int, ...]) -> tuple[slice, slice]:
        """Where a screen at `camera` lies in the arrays, which grow so that a margin around it is inside."""
        margin = _MARGIN * self._tile_px
        start = (camera - self._origin).tolist()
        before = [max(0, margin - at) for at in start]
        after = [
            max(0, at + length + margin - have)
            for at, length, have in zip(start, size, self._known.shape, strict=True)
        ]
        if any(before) or any(after):
            self._grow(before, after)
            start = (camera - self._origin).tolist()
        rows, columns = (slice(at, at + length) for at, length in zip(start, size, strict=True))
        return rows, columns

    def _grow(self, before: list[int], after: list[int]) -> None:
        """Add whole tiles on the sides that lack space, and as much again, so that it happens rarely."""
        side = self._tile_px
        tiles = [-(-2 * length // side) if length else 0 for length in (*before, *after)]
        top, left, bottom, right = tiles
        pad = (left * side, right * side, top * side, bottom * side)
        self._pixels = functional.pad(self._pixels.permute(2, 0, 1), pad).permute(1, 2, 0).contiguous()
        self._known = functional.pad(self._known, pad)
        self._ids = functional.pad(self._ids, (left, right, top, bottom), value=NO_TILE)
        self._origin = self._origin - torch.tensor([top * side, left * side])


def fill(
    canvases: list[Canvas],
    cameras: Int64[Tensor, "b 2"],
    size: tuple[int, int],
    network: TileNetwork,
    generators: list[torch.Generator],
) -> None:
    """Decide and draw every tile that screens at the cameras show and that is not known.

    In rounds: of the cells still open the surest are decided first, and the rest with those in sight.
    Determinism: each canvas draws from its own generator, whatever else is in the batch.
    """
    arch = network.arch
    shape = (arch.rows, arch.columns)
    windows = [canvas.window(camera, size, shape) for canvas, camera in zip(canvases, cameras, strict=True)]
    for left in range(arch.num_rounds, 0, -1):
        wanted = [
            canvas.wanted(camera, size, window)
            for canvas, camera, window in zip(canvases, cameras, windows, strict=True)
        ]
        is_open = [bool(cells.any()) for cells in wanted]
        if not any(is_open):
            return
        ids = torch.stack([canvas.ids(window) for canvas, window in zip(canvases, windows, strict=True)])
        logits = network(ids)
        for row in [index for index, value in enumerate(is_open) if value]:
            cells = wanted[row]
            scores = logits[row][:, cells].T + canvases[row].fit(windows[row], cells)
            chosen, surety = _draw(scores, arch.temperature, generators[row])
            kept = _surest(surety, -(-len(chosen) // left))
            picked = torch.zeros_like(cells)
            picked[cells] = kept
            canvases[row].draw(windows[row], picked, chosen[kept])


def _draw(
    scores: Float32[Tensor, "n k"], temperature: float, generator: torch.Generator
) -> tuple[Int64[Tensor, " n"], Float32[Tensor, " n"]]:
    """A tile for each cell, and how likely it is."""
    if temperature == 0:
        likelihood = functional.softmax(scores, dim=1)
        best = likelihood.max(dim=1)
        return best.indices, best.values
    likelihood = functional.softmax(scores / temperature, dim=1)
    chosen = torch.multinomial(likelihood, 1, generator=generator)
    return chosen[:, 0], likelihood.gather(1, chosen)[:, 0]


def _surest(surety: Float32[Tensor, " n"], count: int) -> Bool[Tensor, " n"]:
    kept = torch.zeros(len(surety), dtype=torch.bool)
    kept[surety.argsort(descending=True)[:count]] = True
    return kept
