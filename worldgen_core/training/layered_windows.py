"""Which windows of tiles the tile network learns from: a pure function of seed and step.

A window shows what a player may have seen by now: the screen, and some of the way to it. What it has to tell
are the rows and columns that come into view next, tiles behind the player, and now and then a larger part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from worldgen_core.batch import array_to_tensor
from worldgen_core.models.layered_network import TileNetwork
from worldgen_core.models.layered_tiles import NO_TILE
from worldgen_core.seeds import derive_seed
from worldgen_core.training.layered_atlas import TileMap


class WindowSettings(BaseModel):
    """How windows are drawn and hidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(default=24, ge=1)
    """Windows a step."""
    max_detours: int = Field(default=3, ge=0)
    """Earlier screens of the way that are remembered besides the present one, at most."""
    reveal_share: float = Field(default=0.5, ge=0, le=1)
    """Share of windows in which some of what is to be told is shown, as in later rounds at play."""
    strange_share: float = Field(default=0.02, ge=0, le=1)
    """Share of shown tiles that are replaced by any other, as a misread one would be."""


class Windows(NamedTuple):
    """A batch: what is shown, what is true, and which cells have to be told."""

    shown: Int64[Tensor, "b rows columns"]
    truth: Int64[Tensor, "b rows columns"]
    is_asked: Bool[Tensor, "b rows columns"]


class WindowSampler:
    """Draws windows from the maps of all scenes, a map as often as it is large."""

    def __init__(
        self,
        maps: Sequence[TileMap],
        *,
        shape: tuple[int, int],
        screen: tuple[int, int],
        num_tiles: int,
        settings: WindowSettings,
        seed: int,
    ) -> None:
        """`shape` and `screen` are in tiles (rows, columns), the screen including tiles seen in part."""
        pad = [(length, length) for length in shape]
        self._maps = [np.pad(own.ids.numpy(), pad, constant_values=NO_TILE) for own in maps]
        self._cells = [np.argwhere(own != NO_TILE) for own in self._maps]
        sizes = np.array([len(cells) for cells in self._cells], np.float64)
        self._weights = sizes / sizes.sum()
        self._shape, self._screen = shape, screen
        self._num_tiles, self._settings, self._seed = num_tiles, settings, seed

    def batch(self, train_step: int) -> Windows:
        """The windows of one training step."""
        rng = np.random.default_rng(derive_seed(self._seed, "windows", train_step))
        rows = [self._window(rng) for _ in range(self._settings.batch_size)]
        shown, truth, is_asked = (array_to_tensor(np.stack(column)) for column in zip(*rows, strict=True))
        return Windows(shown, truth, is_asked)

    def _window(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index = int(rng.choice(len(self._maps), p=self._weights))
        middle = self._cells[index][rng.integers(len(self._cells[index]))]
        top, left = (int(at) - length // 2 for at, length in zip(middle, self._shape, strict=True))
        truth = self._maps[index][top : top + self._shape[0], left : left + self._shape[1]]
        is_shown, is_asked = self._hidden(rng)
        is_asked &= truth != NO_TILE
        if rng.random() < self._settings.reveal_share:
            revealed = is_asked & (rng.random(self._shape) < rng.uniform(0, 0.8))
            is_shown, is_asked = is_shown | revealed, is_asked & ~revealed
        shown = np.where(is_shown, truth, NO_TILE)
        is_strange = (shown != NO_TILE) & (rng.random(self._shape) < self._settings.strange_share)
        strange = rng.integers(self._num_tiles, size=self._shape)
        return np.where(is_strange, strange, shown), truth, is_asked

    def _hidden(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What of a window is shown, and what is asked."""
        screen = self._centred()
        is_shown = np.zeros(self._shape, np.bool_)
        is_shown[screen] = True
        for _ in range(int(rng.integers(self._settings.max_detours + 1))):
            dy, dx = rng.integers(-3, 4, size=2).tolist()
            is_shown[_moved(screen, dy, dx, self._shape)] = True
        is_asked = np.zeros(self._shape, np.bool_)
        is_asked[screen] = True
        kind = rng.random()
        if kind < 0.75:  # a row or a column, or a few of them, have just come into view
            depth = int(rng.integers(1, 4)) if kind < 0.25 else 1
            is_shown[_edge(screen, int(rng.integers(4)), depth, self._shape)] = False
        elif kind < 0.9:  # a screen of which only a part is known
            is_shown[:] = False
            is_shown[_part(screen, rng)] = True
        y, x = (int(rng.integers(span.start, span.stop)) for span in screen)
        is_shown[y : y + 3, x : x + 2] = False  # behind somebody
        return is_shown, is_asked & ~is_shown

    def _centred(self) -> tuple[slice, slice]:
        starts = [(whole - own) // 2 for whole, own in zip(self._shape, self._screen, strict=True)]
        return slice(starts[0], starts[0] + self._screen[0]), slice(starts[1], starts[1] + self._screen[1])


def _moved(screen: tuple[slice, slice], dy: int, dx: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(span.start + by, 0), min(span.stop + by, whole))
        for span, by, whole in zip(screen, (dy, dx), shape, strict=True)
    )
    return rows, columns


def _edge(screen: tuple[slice, slice], side: int, depth: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Everything from `depth` cells inside one side of the screen outwards."""
    rows, columns = screen
    everything = slice(None)
    return (
        (slice(0, rows.start + depth), everything),
        (slice(rows.stop - depth, shape[0]), everything),
        (everything, slice(0, columns.start + depth)),
        (everything, slice(columns.stop - depth, shape[1])),
    )[side]


def _part(screen: tuple[slice, slice], rng: np.random.Generator) -> tuple[slice, slice]:
    """A part of the screen, at least half as long either way."""
    spans: list[slice] = []
    for span in screen:
        length = span.stop - span.start
        own = int(rng.integers(length // 2, length + 1))
        start = span.start + int(rng.integers(length - own + 1))
        spans.append(slice(start, start + own))
    return spans[0], spans[1]


def tile_loss(
    network: TileNetwork, windows: Windows, rows: Int64[Tensor, " own"] | None = None
) -> Float32[Tensor, ""]:
    """Cross-entropy of the asked cells, in nats a tile; 0 for a batch that asks for none.

    With `rows`, what these windows add to it: the losses of all parts of a batch add up to that of the whole.
    """
    rows = torch.arange(len(windows.shown)) if rows is None else rows
    logits = network(windows.shown[rows])
    target = torch.where(windows.is_asked, windows.truth, NO_TILE)[rows]
    total = functional.cross_entropy(logits.float(), target, ignore_index=NO_TILE, reduction="sum")
    return total / windows.is_asked.sum().clamp(min=1)
