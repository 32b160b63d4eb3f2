"""How play loads a model, once for any number of players.

`load_shared` is the only place of the play server that opens a model folder. What computes its frames is the
runtime's affair; players choose by name, and the first name leaves it to measurement.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import torch

from worldgen_core.device import available_devices
from worldgen_core.errors import ConfigError
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.models.interface import CanChangeSteps, CanTwin, WorldModel
from worldgen_core.names import BackendChoice, DeviceName
from worldgen_core.play.ensemble import Ensemble
from worldgen_core.runtime.backends import BACKENDS, why_not
from worldgen_core.runtime.choose import Say
from worldgen_core.runtime.open import SceneOf, open_fast
from worldgen_core.runtime.scene import noise_scene
from worldgen_core.threads import cpu_threads


def backends_here() -> tuple[BackendChoice, ...]:
    """What a player may ask for: the fastest, or any that runs on a device of this machine."""
    devices = [torch.device(name) for name in available_devices()]
    runs: list[BackendChoice] = [
        name for name, backend in BACKENDS.items() if any(why_not(backend, one) is None for one in devices)
    ]
    return ("auto", *runs)


class Shared:
    """A loaded model whose networks are in memory once, however many dream with it."""

    def __init__(self, model: CanTwin, backend: str, *, load_s: float = 0.0) -> None:
        self.backend = backend
        """What steps it."""
        self.load_s = round(load_s, 1)
        """Seconds that loading and building took."""
        self._model = model
        self._working = Lock()
        self._ensembles: WeakValueDictionary[tuple[tuple[str, int], ...], Ensemble] = WeakValueDictionary()
        self._seating = Lock()

    @property
    def num_steps(self) -> dict[str, int]:
        """The model's own sampler steps by part; empty for one that does not sample."""
        return dict(self._model.num_steps) if isinstance(self._model, CanChangeSteps) else {}

    @property
    def device(self) -> str:
        """Where it really computes, whatever was asked for."""
        return self._model.device.type if isinstance(self._model, TensorDreams) else "cpu"

    def seat(self, num_steps: Mapping[str, int]) -> WorldModel:
        """A place for one more player, who dreams in so many sampler steps.

        Players whose dreams are tensors, with equal steps, are stepped in batches.
        Raises: ConfigError for steps of a part that the model does not have.
        """
        own = self.num_steps
        unknown = sorted(num_steps.keys() - own.keys())
        if unknown:
            raise ConfigError(
                "sampler steps",
                expected=f"steps of {', '.join(own)}" if own else "none: this model draws a frame at once",
                found=f"steps of {unknown[0][:40]!r}",
                next_step="choose from the list",
            )
        wanted = {**own, **num_steps}
        with self._seating:
            key = tuple(sorted(wanted.items()))
            if (ensemble := self._ensembles.get(key)) is not None:
                return ensemble.seat()
            model = self._model.with_steps(wanted) if isinstance(self._model, CanChangeSteps) else self._model
            twin = model.twin()
            if not isinstance(twin, TensorDreams):
                return twin
            ensemble = self._ensembles[key] = Ensemble(twin, working=self._working)
            return ensemble.seat()


def load_shared(
    folder: Path,
    device: DeviceName,
    backend: BackendChoice,
    *,
    threads: int,
    scene_of: SceneOf = noise_scene,
    say: Say = lambda _line: None,
) -> Shared:
    """Open a model folder for players; see `open_fast`, which `say` and `scene_of` are for.

    Raises: CheckpointError for a damaged folder; ConfigError for a device or a backend that is not there, or
    for a model that cannot be shared.
    """
    began = time.monotonic()
    with cpu_threads(threads):
        fast = open_fast(folder, device, backend=backend, threads=threads, scene_of=scene_of, say=say)
    model = fast.model
    if not isinstance(model, CanTwin):
        raise ConfigError(
            f"{folder}: model",
            expected="one whose networks players can share (a `twin` method)",
            found=type(model).__name__,
            next_step="take another model",
        )
    return Shared(model, fast.backend, load_s=time.monotonic() - began)


@torch.inference_mode()
def try_out(model: WorldModel, threads: int) -> None:
    """Dream one frame, so that what cannot run here says so before anybody plays it, and is warm."""
    height, width = model.frame_shape
    k = model.num_context_frames
    frames = torch.zeros(1, k, height, width, 3, dtype=torch.uint8)
    with cpu_threads(threads):
        model.reset(frames, torch.zeros(1, k - 1, dtype=torch.int64), seed=0)
        model.step(torch.zeros(1, dtype=torch.int64))
