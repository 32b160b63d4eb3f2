"""How fast a backend is and how far off, frame by frame beside float32 eager in one run.

Two errors are told, both of unrounded frames, as root mean square relative to the reference frame's. `error`
is the worst single frame, each begun from the reference's state: what the backend itself does wrong; it has
the bound. `drift` is that of the last frame of a dream on its own: a dream may amplify any difference, and
two dreams that have parted are both good games.
"""

from __future__ import annotations

import time
from statistics import median

import torch
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from worldgen_core.models.dreams import Dreams, Imagined, TensorDreams, shown
from worldgen_core.names import BackendName
from worldgen_core.runtime.backends import Backend, builder
from worldgen_core.runtime.examples import watch_inputs
from worldgen_core.runtime.scene import Scene

NUM_FRAMES = 64
_NUM_WARMUP = 3


class Measured(BaseModel):
    """What was found of one backend."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: BackendName
    """Which one."""
    frames_per_s: float
    """Of the median frame, from key to picture."""
    times_eager: float
    """How many times as fast as float32 eager: the median of the ratios, frame by frame."""
    error: float
    """Worst relative error of a frame that begins at the reference's state."""
    drift: float
    """Relative error of the last of 64 frames of a dream of its own."""
    build_s: float
    """Seconds until the first frame."""


def put_in(model: TensorDreams, backend: Backend, scene: Scene, *, threads: int) -> None:
    """Replace a model's networks by the backend's, ready to run."""
    build = builder(backend)
    for name, examples in watch_inputs(model, scene).items():
        slot = model.slots[name]
        slot.put(build(slot.network, examples, threads))
    scene.begin(model)
    model.step(scene.action(0))  # some build themselves at the first call


def measure(
    reference: TensorDreams, model: TensorDreams, backend: Backend, scene: Scene, *, threads: int
) -> Measured:
    """Build the backend into `model` and run it beside `reference`, the same model in float32 eager."""
    started = time.perf_counter()
    put_in(model, backend, scene, threads=threads)
    build_s = time.perf_counter() - started
    scene.begin(reference)
    errors: list[float] = []
    seconds: list[tuple[float, float]] = []
    truths: list[Tensor] = []
    for frame in range(_NUM_WARMUP + NUM_FRAMES):
        model.dreams = _copy_of(reference.dreams)
        action = scene.action(frame)
        expected, reference_s = timed_step(reference, action)
        found, own_s = timed_step(model, action)
        truths.append(expected)
        if frame >= _NUM_WARMUP:
            errors.append(relative_error(found, expected))
            seconds.append((own_s, reference_s))
    return Measured(
        backend=backend.name,
        frames_per_s=round(1 / median(own for own, _ in seconds), 1),
        times_eager=round(median(eager / own for own, eager in seconds), 2),
        error=max(errors),
        drift=relative_error(_last_frame(model, scene), truths[NUM_FRAMES - 1]),
        build_s=round(build_s, 1),
    )


def relative_error(found: Float32[Tensor, ...], expected: Float32[Tensor, ...]) -> float:
    """Root mean square of the difference over that of the expected values."""
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt().clamp_min(1e-12))


@torch.inference_mode()
def timed_step(model: TensorDreams, action: Tensor) -> tuple[Tensor, float]:
    """Move a dream on; return the unrounded frame and the seconds from key to shown picture."""
    started = time.perf_counter()
    imagined: Imagined = model.advance(action)
    shown(imagined)
    return imagined.obs.cpu(), time.perf_counter() - started


def _last_frame(model: TensorDreams, scene: Scene) -> Tensor:
    scene.begin(model)
    with torch.inference_mode():
        frames = [model.advance(scene.action(frame)).obs for frame in range(NUM_FRAMES)]
    return frames[-1].cpu()


def _copy_of(dreams: Dreams) -> Dreams:
    # Both must draw the same noise, and each moves its generators on.
    return Dreams(dict(dreams.tensors), [generator.clone_state() for generator in dreams.generators])
