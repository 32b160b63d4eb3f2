"""Weights, pictures and noise that a formula gives, so that two programs can be run on the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import count

import torch
from torch import Tensor


def wave(shape: tuple[int, ...], phase: float) -> Tensor:
    """Values in [-1, 1] without any pattern in their order: sin(12.9898 i + phase) in float64."""
    numbers = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (12.9898 * numbers + phase).sin().float().reshape(shape)


def wave_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights by name, the k-th in alphabetical order of phase k; matrices keep the size of their input."""
    weights: dict[str, Tensor] = {}
    for phase, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        num_inputs = torch.Size(shape[1:]).numel()
        scale = 1.5 / num_inputs**0.5 if len(shape) > 1 else 0.3
        weights[name] = scale * wave(shape, float(phase))
    return weights


class WaveNoise:
    """The n-th draw, whatever its shape, has phase 1000 + n and a standard deviation of one."""

    def __init__(self) -> None:
        self._phases = count(1000)

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next draw."""
        return 2**0.5 * wave(shape, float(next(self._phases)))


class WaveNoiseByShape:
    """The n-th draw of each shape has phase 1000 n + the number of values, whatever is drawn between."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, ...]] = Counter()

    def __call__(self, *shape: int | tuple[int, ...], **_kwargs: object) -> Tensor:
        """Return the next draw; called as `torch.randn` is."""
        sizes = tuple(torch.Size(shape[0] if isinstance(shape[0], tuple) else shape))  # pyright: ignore[reportArgumentType]  # both ways to say a shape
        self._counts[sizes] += 1
        phase = float(1000 * self._counts[sizes] + torch.Size(sizes).numel())
        return 2**0.5 * wave(sizes, phase)
