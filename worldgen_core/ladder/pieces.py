"""Takes a rung apart into what is timed, and counts what each piece costs without running it.

A frame is so many runs of each network, so networks are timed and not frames: rungs that differ in their
steps alone share them, and a frame of the largest rung, which takes half a minute on a CPU, need not be
waited for. Where a model does more than run networks, its whole frames are the piece.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from worldgen_core.config import make_config
from worldgen_core.games.catalogue import get_facts
from worldgen_core.ladder.random_model import random_model
from worldgen_core.ladder.settings import LadderSettings, LayoutName, NumberName, Rung
from worldgen_core.models.load import load_world_model
from worldgen_core.names import ModelName, ProfileName
from worldgen_core.runtime.backends import BACKENDS
from worldgen_core.runtime.measure import put_in
from worldgen_core.runtime.scene import noise_scene
from worldgen_core.sizes.measure import BYTES_PER_VALUE, Part, num_parameters, run_cost, weights_bytes
from worldgen_core.sizes.parts import PARTS_OF
from worldgen_core.sizes.table import GAME, PUBLISHED_FRAME

DTYPES: dict[NumberName, torch.dtype] = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
}
_LAYOUTS: dict[LayoutName, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


_GRID = 8


class PieceKey(NamedTuple):
    """What makes two pieces the same work."""

    part: str
    num_parameters: int
    flops: int
    precision: NumberName
    layout: LayoutName
    backend: str


@dataclass(frozen=True)
class PieceCost:
    """A piece of a rung: which, how often a frame runs it, and what a run costs."""

    key: PieceKey
    num_evaluations: int
    weights_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class Timed:
    """Something to run, and by how much its time is less than that of the piece it stands for."""

    run: Callable[[], object]
    scale: float


def costs_of(rung: Rung, settings: LadderSettings) -> list[PieceCost]:
    """The pieces of a rung whose frames are made of networks alone."""
    size = torch.finfo(DTYPES[rung.precision]).bits // 8
    return [
        PieceCost(
            PieceKey(part.name, part.num_parameters, part.flops, rung.precision, rung.layout, rung.backend),
            part.num_evaluations,
            part.weights_bytes * size // BYTES_PER_VALUE,
            part.activation_bytes * size // BYTES_PER_VALUE,
        )
        for part in _counted(rung.model, rung.profile, json.dumps(rung.changes), settings.num_actions)
    ]


class _Counted(NamedTuple):
    """What a network costs in float32."""

    name: str
    num_parameters: int
    flops: int
    num_evaluations: int
    weights_bytes: int
    activation_bytes: int


@lru_cache
def _counted(
    model: ModelName, profile: ProfileName, changes_json: str, num_actions: int
) -> tuple[_Counted, ...]:
    """Counting takes seconds, and rungs of one size share it."""
    rung = Rung(name="", model=model, profile=profile, changes=json.loads(changes_json))
    found: list[_Counted] = []
    for part in parts_of(rung, num_actions, frame_of(rung), device="meta"):
        cost = run_cost(part.run)
        counts = num_parameters(part), cost.flops, part.num_evaluations, weights_bytes(part)
        found.append(_Counted(part.name, *counts, cost.activation_bytes))
    return tuple(found)


def parts_of(rung: Rung, num_actions: int, size: tuple[int, int], *, device: str) -> list[Part]:
    """The networks of a rung with random weights, as float32, and how to run them on a device."""
    config = make_config(GAME, rung.profile, model=rung.model, device="cpu", overrides=rung.changes)
    with torch.device(device):
        return PARTS_OF[rung.model](config, num_actions, *size)


def frame_of(rung: Rung) -> tuple[int, int]:
    """Height and width of a rung's frames."""
    facts = get_facts(GAME)
    return PUBLISHED_FRAME if rung.profile == "paper" else (facts.height, facts.width)


def timed_of(
    rung: Rung, settings: LadderSettings, wanted: Mapping[str, PieceKey], *, device: str, max_gflop: float
) -> dict[PieceKey, Timed]:
    """The pieces of a rung that are wanted, by the names of their parts, ready to run.

    A piece of more than `max_gflop` is made for smaller pictures, halved until it fits.
    """
    made: dict[PieceKey, Timed] = {}
    height, width = frame_of(rung)
    by_size: dict[int, list[str]] = {}
    for name, key in wanted.items():
        by_size.setdefault(_halvings(key.flops, max_gflop, height), []).append(name)
    for halvings, names in by_size.items():
        # Decoders begin at an eighth of the picture.
        size = (height >> halvings) // _GRID * _GRID, (width >> halvings) // _GRID * _GRID
        flops = _flops_at(rung, settings.num_actions, size) if halvings else {}
        for part in parts_of(rung, settings.num_actions, size, device=device):
            if part.name in names:
                as_played(part.modules, rung)
                key = wanted[part.name]
                made[key] = Timed(part.run, key.flops / flops[part.name] if halvings else 1.0)
    return made


def whole_frames(folder: Path, *, device: str) -> Timed:
    """Whole frames of a trained model, from key press to picture; what they show does not matter."""
    model = load_world_model(folder, device)
    height, width = model.frame_shape
    generator = torch.Generator().manual_seed(0)
    shape = (1, model.num_context_frames, height, width, 3)
    frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    model.reset(frames, torch.zeros(1, model.num_context_frames - 1, dtype=torch.int64), seed=0)

    def step() -> object:
        action = torch.randint(0, model.num_actions, (1,), generator=generator)
        return model.step(action)

    return Timed(step, 1.0)


def played_frames(rung: Rung, settings: LadderSettings) -> Timed:
    """Whole frames of a rung's networks with random weights, computed by its backend."""
    config = make_config(GAME, rung.profile, model=rung.model, device="cpu", overrides=rung.changes)
    model = random_model(config, num_actions=settings.num_actions, size=frame_of(rung))
    scene = noise_scene(model)
    put_in(model, BACKENDS[rung.backend], scene, threads=settings.num_threads)
    scene.begin(model)
    return Timed(lambda: model.step(scene.action(0)), 1.0)


def as_played(modules: tuple[nn.Module, ...], rung: Rung) -> None:
    """Bring networks into a rung's precision and layout; what goes into their layers follows."""
    dtype, layout = DTYPES[rung.precision], _LAYOUTS[rung.layout]
    for module in modules:
        module.eval().to(dtype=dtype, memory_format=layout)  # pyright: ignore[reportCallIssue]  # missing overload
        for layer in module.modules():
            if isinstance(layer, _LAYERS):
                layer.register_forward_pre_hook(
                    lambda _, args: tuple(_fitting(arg, dtype, layout) for arg in args)
                )


_LAYERS = (nn.Conv2d, nn.Linear, nn.GroupNorm)
"""What multiplies; between them a network may work in float32, as its noise features do."""


def _fitting(value: Any, dtype: torch.dtype, layout: torch.memory_format) -> Any:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return value.to(dtype, memory_format=layout) if value.ndim == 4 else value.to(dtype)


def _flops_at(rung: Rung, num_actions: int, size: tuple[int, int]) -> dict[str, int]:
    parts = parts_of(rung, num_actions, size, device="meta")
    return {part.name: run_cost(part.run).flops for part in parts}


def _halvings(flops: int, max_gflop: float, height: int) -> int:
    """How often height and width are halved until a run is cheap enough; never below 80 rows."""
    halvings = 0
    while flops / 4**halvings > max_gflop * 1e9 and height >> (halvings + 1) >= 80:
        halvings += 1
    return halvings
