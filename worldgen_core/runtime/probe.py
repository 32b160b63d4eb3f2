"""Measures one backend in a process of its own: `… MODEL BACKEND DEVICE THREADS SCENE_FILE RESULT_FILE`.

In a process of its own, because generated code has ended whole processes, and because a backend's memory is
then gone with it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import torch

from storage.atomic import write_bytes
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.models.load import load_world_model
from worldgen_core.names import BackendName, DeviceName
from worldgen_core.runtime.backends import BACKENDS
from worldgen_core.runtime.measure import measure
from worldgen_core.runtime.scene import load_scene


def main(folder: str, backend: str, device: str, threads: str, scene: str, result: str) -> None:
    """Measure and write a `Measured` as JSON."""
    torch.set_num_threads(int(threads))
    reference, model = (load_world_model(Path(folder), cast("DeviceName", device)) for _ in range(2))
    assert isinstance(reference, TensorDreams)
    assert isinstance(model, TensorDreams)
    chosen = BACKENDS[cast("BackendName", backend)]
    found = measure(reference, model, chosen, load_scene(Path(scene)), threads=int(threads))
    write_bytes(Path(result), found.model_dump_json().encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
