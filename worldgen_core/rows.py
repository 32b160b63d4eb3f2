"""A batch in parts: which rows a pass takes, and noise that does not depend on how the batch was split.

Gradient accumulation and ranks that train side by side split one batch. A part draws the noise of the whole
batch and keeps that of its own rows, so it sees what it would have seen in a pass over everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor

from worldgen_core.errors import ConfigError

B = TypeVar("B", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Part:
    """Every `count`-th row, from row `index` on."""

    index: int = 0
    count: int = 1


class PartGenerator(torch.Generator):
    """A generator that knows of which part of a batch it draws; see `split_rows`."""

    part: Part = Part()
    num_rows: int = 0
    """Rows of the whole batch; 0 until it is split."""
    rows: Int64[Tensor, " own"]
    """Numbers of the part's own rows."""


def part_generator(seed: int, part: Part) -> PartGenerator:
    """A generator for one part of a batch; all parts of the batch get the same seed."""
    generator = PartGenerator()
    generator.manual_seed(seed)
    generator.part = part
    return generator


def split_rows(num_rows: int, generator: torch.Generator) -> Int64[Tensor, " own"]:
    """The numbers of the part's rows of a batch of `num_rows`; from now on the generator draws for them.

    A plain generator has one part: everything.
    Raises: ConfigError if there are fewer rows than parts.
    """
    if not isinstance(generator, PartGenerator):
        return torch.arange(num_rows)
    part = generator.part
    check_split([num_rows], part.count)
    generator.num_rows, generator.rows = num_rows, torch.arange(part.index, num_rows, part.count)
    return generator.rows


def check_split(batch_sizes: Sequence[int], num_parts: int) -> None:
    """Raise ConfigError if a batch has fewer rows than it has parts."""
    if min(batch_sizes) < num_parts:
        raise ConfigError(
            "loop.accumulate times loop.num_processes",
            expected=f"at most {min(batch_sizes)}, the rows of the smallest batch",
            found=str(num_parts),
            next_step="lower one of them, or raise the batch size",
        )


def take_part(batch: B, generator: torch.Generator) -> B:
    """The part's own rows of a batch, a named tuple of tensors (or None) that have rows first."""
    rows = split_rows(len(batch[0]), generator)
    if len(rows) == len(batch[0]):
        return batch
    named: Any = batch
    return named._make(None if values is None else values[rows] for values in batch)


def rows_of(num_own: int, generator: torch.Generator) -> tuple[Int64[Tensor, " own"], int]:
    """The numbers of the rows that the generator draws for, and how many the whole batch has."""
    if not isinstance(generator, PartGenerator) or not generator.num_rows:
        return torch.arange(num_own), num_own
    return generator.rows, generator.num_rows


def row_share(generator: torch.Generator) -> float:
    """Which share of the whole batch's rows the part has: a mean over its rows counts so much."""
    if not isinstance(generator, PartGenerator) or not generator.num_rows:
        return 1.0
    return len(generator.rows) / generator.num_rows


@contextmanager
def among(rows: Int64[Tensor, " own"], num_rows: int, generator: torch.Generator) -> Iterator[None]:
    """Draw for `rows` of `num_rows` instead: where a pass takes some rows twice, or not all of them."""
    if not isinstance(generator, PartGenerator):
        yield
        return
    before = generator.rows, generator.num_rows
    generator.rows, generator.num_rows = rows, num_rows
    try:
        yield
    finally:
        generator.rows, generator.num_rows = before


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard normal noise on the CPU for the part's own rows, which are the first axis of `shape`."""
    return _own(torch.randn(_whole(shape, generator), generator=generator), generator)


def uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Uniform noise in [0, 1) on the CPU for the part's own rows, which are the first axis of `shape`."""
    return _own(torch.rand(_whole(shape, generator), generator=generator), generator)


def _whole(shape: Sequence[int], generator: torch.Generator) -> tuple[int, ...]:
    if not isinstance(generator, PartGenerator) or not generator.num_rows:
        return tuple(shape)
    assert shape[0] == len(generator.rows), "noise for other rows than the part's"
    return (generator.num_rows, *shape[1:])


def _own(noise: Tensor, generator: torch.Generator) -> Tensor:
    if not isinstance(generator, PartGenerator) or not generator.num_rows:
        return noise
    return noise if len(generator.rows) == len(noise) else noise[generator.rows]
