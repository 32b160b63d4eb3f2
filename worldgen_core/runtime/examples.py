"""What a model's networks are fed, seen by watching one step of a dream."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from worldgen_core.models.dreams import TensorDreams
from worldgen_core.runtime.scene import Scene

Examples = tuple[Tensor, ...]
"""One call's inputs, batch axis first."""


def watch_inputs(model: TensorDreams, scene: Scene) -> dict[str, Examples]:
    """Return by slot what its network was last called with in the first frame of a dream of batch size 1.

    The dreams that the model has are lost.
    """
    seen: dict[str, Examples] = {}

    def watch(name: str, network: nn.Module) -> Any:
        def keep(_module: nn.Module, inputs: Examples) -> None:
            seen[name] = inputs

        return network.register_forward_pre_hook(keep)

    hooks = [watch(name, slot.network) for name, slot in model.slots.items()]
    try:
        scene.begin(model)
        model.step(scene.action(0))
    finally:
        for hook in hooks:
            hook.remove()
    # Outside of inference mode a clone is a plain tensor, which exporters can take.
    return {name: tuple(value.clone() for value in inputs) for name, inputs in seen.items()}
