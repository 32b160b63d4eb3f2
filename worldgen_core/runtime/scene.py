"""Where a measurement begins and which keys are pressed: held-out frames, or noise where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from storage.atomic import replacing
from worldgen_core.batch import array_to_tensor
from worldgen_core.models.dreams import TensorDreams

SEED = 0


@dataclass(frozen=True, eq=False)
class Scene:
    """A context of batch size 1, and actions for as long as anybody measures."""

    frames: UInt8[Tensor, "1 t h w c"]
    past: Int64[Tensor, "1 past"]
    num_actions: int

    def begin(self, model: TensorDreams) -> None:
        """Start the dream."""
        model.reset(self.frames, self.past, seed=SEED)

    def action(self, frame: int) -> Int64[Tensor, 1]:
        """What is pressed at a frame: each action is held for a while, as people do."""
        generator = torch.Generator().manual_seed(frame // 5)
        return torch.randint(0, self.num_actions, (1,), generator=generator)


def noise_scene(model: TensorDreams) -> Scene:
    """Frames of noise: right for timing; errors are then those on pictures that no game shows."""
    shape = (1, model.num_context_frames, *model.frame_shape, 3)
    frames = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(SEED), dtype=torch.uint8)
    past = torch.zeros(1, model.num_context_frames - 1, dtype=torch.int64)
    return Scene(frames, past, model.num_actions)


def recorded_scene(
    frames: UInt8[np.ndarray, "t h w c"], actions: Int64[np.ndarray, " past"], num_actions: int
) -> Scene:
    """Frames and actions of a recording."""
    return Scene(array_to_tensor(frames)[None], array_to_tensor(actions)[None], num_actions)


def save_scene(scene: Scene, path: Path) -> None:
    """Write it for another process."""
    with replacing(path) as file:
        np.savez(file, frames=scene.frames.numpy(), past=scene.past.numpy(), num_actions=scene.num_actions)


def load_scene(path: Path) -> Scene:
    """Read what `save_scene` wrote."""
    with np.load(path, allow_pickle=False) as data:
        frames, past = array_to_tensor(data["frames"]), array_to_tensor(data["past"])
        return Scene(frames, past, int(data["num_actions"]))
