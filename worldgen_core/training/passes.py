"""How the passes of a network run while it trains: compiled, or with less memory.

Both change how a module is called, for the length of a `with` block, and neither its weights nor their names.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from worldgen_core.errors import ConfigError
from worldgen_core.models.recompute import Recomputable
from worldgen_core.progress import Progress, ProgressEvent

logger = logging.getLogger(__name__)

COMPILING = "compiling the network"
"""Label of the progress events that tell of the wait."""

DIFFUSERS_BLOCKS = frozenset({"ResnetBlock2D", "Transformer2DModel"})
"""Blocks of diffusers' networks, by name: importing their classes takes seconds."""

Forward = Callable[..., Any]


@contextmanager
def recomputed(network: nn.Module) -> Generator[None]:
    """Keep no activations inside the network's blocks: the backward pass computes them again.

    Blocks are those that are marked, and diffusers' own. Same results for about a third more time (Chen et
    al. 2016, arXiv:1604.06174).
    Raises: ConfigError if the network has no such blocks.
    """
    blocks = [module for module in network.modules() if is_block(module)]
    if not blocks:
        raise ConfigError(
            "loop.checkpoint_activations",
            expected="a network with blocks that can be computed again",
            found=f"none in {type(network).__name__}",
            next_step="leave it off for this model; loop.accumulate saves memory too",
        )
    with _called_by(blocks, lambda forward: partial(checkpoint, forward, use_reentrant=False)):
        yield


def is_block(module: nn.Module) -> bool:
    """Whether a module is a block that may be computed again."""
    return isinstance(module, Recomputable) or type(module).__name__ in DIFFUSERS_BLOCKS


@contextmanager
def compiled(network: nn.Module) -> Generator[None]:
    """Compile what a training calls: the network, or those of its children that it calls one by one.

    Nothing is compiled until it is called; `CompilationNews` tells of the wait.
    Raises: ConfigError if there is no C++ compiler.
    """
    _check_compiler()
    parts = [part for part in (network, *network.children()) if type(part).forward is not nn.Module.forward]
    with _called_by(parts, torch.compile):
        yield


def _check_compiler() -> None:
    wanted = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(wanted) is None:
        raise ConfigError(
            "loop.compile",
            expected=f"the C++ compiler {wanted}, which torch.compile calls",
            found="no such program on the PATH",
            next_step="install it, name another one in CXX, or leave loop.compile off",
        )


@contextmanager
def _called_by(modules: Sequence[nn.Module], change: Callable[[Forward], Forward]) -> Generator[None]:
    """Let each module's forward be what `change` makes of it."""
    for module in modules:
        module.forward = change(module.forward)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


class CompilationNews:
    """Says before the first step that compiling is a wait, and after a step that compiled what it took."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._num_events, self._num_graphs = progress, 0, _num_graphs()
        progress(ProgressEvent(COMPILING, 0, 1))

    def after_step(self, seconds: float) -> None:
        """Tell of it if the step compiled anything: the first one does, and those that begin a new phase."""
        if _num_graphs() == self._num_graphs:
            return
        self._num_graphs = _num_graphs()
        self._num_events += 1
        done = self._num_events
        self._progress(ProgressEvent(COMPILING, done, done, None, {"seconds": round(seconds, 1)}))


def _num_graphs() -> int:
    from torch._dynamo.utils import counters  # loads the compiler, which takes a second

    return counters["stats"]["unique_graphs"]
