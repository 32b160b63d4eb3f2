"""How a diffusion model learns from its own dream: every frame from noise alone, in one step.

DIAMOND feeds back the estimate that its loss judged; that estimate was made from a noisy true frame, and even
strong noise gives away where small things are, so its context stays close to the truth. Here what is fed back
is an honest dream. Some windows are judged at random levels of noise beside it, on the same dreamt context:
without that a network would only know the level at which sampling starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float32
from torch import Tensor

from worldgen_core.diffusion.losses import Judged
from worldgen_core.rows import among, row_share, rows_of

C = TypeVar("C", bound=tuple[Any, ...])
"""What a prediction depends on: a named tuple of tensors, rows first, or None."""

Parts = dict[str, list[Tensor]]
"""Losses by name, one a predicted frame; see `new_parts`."""


def new_parts() -> Parts:
    """Empty lists for what a predicted frame may cost.

    `dream` is its error from noise alone, `level` that at a random level of noise, `end` that of the head,
    `chance` and `prior` what models/chance.py says of them.
    """
    return {name: [] for name in ("dream", "level", "end", "chance", "prior")}


@dataclass(frozen=True)
class Dreamer(Generic[C]):
    """Makes one frame of each window: dreamt, with some windows judged beside it, or from the truth."""

    judge: Callable[[C, Tensor, Tensor, Tensor, torch.Generator], Judged]
    """Called with context, pair, what is hidden under noise, its level, generator: judges the prediction of
    pair[:, 1], which follows pair[:, 0]; the network sees the hidden picture in the place of the true one."""
    random_levels: Callable[[int, torch.Generator], Tensor]
    """Levels of noise of so many rows, as training draws them."""
    start_level: float | int
    """The level at which sampling starts."""
    share: float
    """Which share of the windows is judged at random levels, too; at least one is."""
    beside: Callable[[C, torch.Generator], C]
    """What windows at random levels see of their context."""

    def one_frame(
        self, context: C, pair: Float32[Tensor, "b 2 c h w"], generator: torch.Generator, parts: Parts
    ) -> Float32[Tensor, "b c h w"]:
        """Return the dreamt pair[:, 1]; `parts` gets these rows' share of `dream` and `level`."""
        rows, num_rows = rows_of(len(pair), generator)
        num_beside = max(1, round(self.share * num_rows))
        own = rows[rows < num_beside]
        few = _each(lambda value: value[: len(own)].detach(), context)
        with among(own, num_beside, generator):
            level = self.random_levels(len(own), generator)
            few = self.beside(few, generator)
        start = torch.full((len(pair),), self.start_level, dtype=level.dtype)
        # One pass for both: all windows from pure noise, then some of them again, from noisy true pictures.
        with among(torch.cat([rows, num_rows + own]), num_rows + num_beside, generator):
            result = self.judge(
                _each(lambda value, other: torch.cat([value, other]), context, few),
                torch.cat([pair, pair[: len(own)]]),
                torch.cat([torch.zeros_like(pair[:, 1]), pair[: len(own), 1]]),
                torch.cat([start, level.cpu()]).to(pair.device),
                generator,
            )
        parts["dream"].append(row_share(generator) * result.loss[: len(pair)].mean())
        parts["level"].append(result.loss[len(pair) :].sum() / num_beside)
        return result.clean[: len(pair)]

    def noisy_frame(
        self, context: C, pair: Float32[Tensor, "b 2 c h w"], generator: torch.Generator, parts: Parts
    ) -> Float32[Tensor, "b c h w"]:
        """Return pair[:, 1] as estimated from itself under noise, the published way; `parts` gets `level`."""
        level = self.random_levels(len(pair), generator).to(pair.device)
        result = self.judge(self.beside(context, generator), pair, pair[:, 1], level, generator)
        parts["level"].append(row_share(generator) * result.loss.mean())
        return result.clean


def _each(change: Callable[..., Tensor], context: C, *others: C) -> C:
    """The context with every tensor changed; what is None stays so."""
    named: Any = context
    columns = zip(context, *others, strict=True)
    return named._make(None if values[0] is None else change(*values) for values in columns)


def unchanged(context: C, _: torch.Generator) -> C:
    """Windows that see all of their context."""
    return context


def total(parts: Parts, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the weighted sum of the means of all parts as `loss`, and the means; 1 is the usual weight."""
    means = {name: torch.stack(values).mean() for name, values in parts.items() if values}
    loss = torch.stack([weights.get(name, 1.0) * value for name, value in means.items()]).sum()
    return {"loss": loss, **{name: value.detach() for name, value in means.items()}}
