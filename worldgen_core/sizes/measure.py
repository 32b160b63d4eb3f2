"""Measures networks without running them: on torch's meta device tensors have shapes but no contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

BYTES_PER_VALUE = 4


class Part(NamedTuple):
    """A network, how to run it once, and how often a frame does."""

    name: str
    modules: tuple[nn.Module, ...]
    """Whose weights belong to this part."""
    run: Callable[[], object]
    """Runs it once with a batch of one, on the device that is set."""
    num_evaluations: int


class RunCost(NamedTuple):
    """Of one run."""

    flops: int
    activation_bytes: int


def run_cost(run: Callable[[], object]) -> RunCost:
    """FLOPs of one run and the most bytes of results that were alive at once, without doing the work."""
    counter, alive = FlopCounterMode(display=False), LiveBytes()
    with torch.device("meta"), torch.no_grad(), counter, alive:
        run()
    return RunCost(counter.get_total_flops(), alive.peak)


def num_parameters(part: Part) -> int:
    """Weights of a part that training changes."""
    return sum(value.numel() for module in part.modules for value in module.parameters())


def weights_bytes(part: Part) -> int:
    """Weights and buffers of a part, as float32."""
    buffers = sum(value.numel() for module in part.modules for value in module.buffers())
    return BYTES_PER_VALUE * (num_parameters(part) + buffers)


class LiveBytes(TorchDispatchMode):
    """Keeps the peak of what the operations inside it have made and not yet let go."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation and note the storages of its results."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(num_bytes for _, num_bytes in self._alive.values()))
        return result
