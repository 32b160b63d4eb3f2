"""The backends by name: what each needs, how exact it must be, and how it makes a network faster."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from worldgen_core.device import choose_precision
from worldgen_core.errors import ConfigError
from worldgen_core.names import BackendName
from worldgen_core.runtime.examples import Examples

Engine = Literal["eager", "compile", "openvino", "onnx"]

FLOAT32_BOUND = 1e-5
"""Greatest relative error of a frame, against float32 eager from the same state."""
BF16_BOUND = 1e-2
"""The same where products are bf16; a grey level is 4e-3 to 8e-3 of a picture."""


@dataclass(frozen=True)
class Backend:
    """One way to compute a model's networks."""

    name: BackendName
    engine: Engine
    is_bf16: bool

    @property
    def error_bound(self) -> float:
        """What `Measured.error` may be for it to be used."""
        return BF16_BOUND if self.is_bf16 else FLOAT32_BOUND


BACKENDS: dict[BackendName, Backend] = {
    "eager": Backend("eager", "eager", is_bf16=False),
    "eager-bf16": Backend("eager-bf16", "eager", is_bf16=True),
    "openvino": Backend("openvino", "openvino", is_bf16=False),
    "openvino-bf16": Backend("openvino-bf16", "openvino", is_bf16=True),
    "onnx": Backend("onnx", "onnx", is_bf16=False),
    "compile": Backend("compile", "compile", is_bf16=False),
    "compile-bf16": Backend("compile-bf16", "compile", is_bf16=True),
}
"""In the order in which they are measured; of two that are as fast, the earlier one is taken."""

_PACKAGES: dict[Engine, tuple[str, ...]] = {
    "eager": (),
    "compile": (),
    "openvino": ("openvino",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


def get_backend(name: str) -> Backend:
    """The backend of that name; raises ConfigError if there is none."""
    if name not in BACKENDS:
        raise ConfigError(
            "backend",
            expected="auto or one of " + ", ".join(BACKENDS),
            found=repr(name),
            next_step="name one of these backends",
        )
    return BACKENDS[name]


def why_not(backend: Backend, device: torch.device) -> str | None:
    """Why a backend cannot run here; None if it can."""
    missing = [name for name in _PACKAGES[backend.engine] if importlib.util.find_spec(name) is None]
    if missing:
        return f"{missing[0]} is not installed: pip install 'worldgen[runtime]'"
    if backend.engine in ("openvino", "onnx") and device.type != "cpu":
        return "only on the CPU"
    if backend.engine == "compile" and device.type == "cpu" and shutil.which("g++") is None:
        return "torch.compile needs a C++ compiler, g++"
    if backend.is_bf16 and choose_precision("auto", device) != "bf16":
        return "this device has no fast bf16"
    return None


def require(backend: Backend, device: torch.device) -> None:
    """Raise ConfigError if a backend that was asked for by name cannot run here."""
    reason = why_not(backend, device)
    if reason is not None:
        raise ConfigError(
            f"backend {backend.name}",
            expected=f"one that runs on this {device.type}",
            found=reason,
            next_step="leave --backend away: the fastest one that runs is measured and taken",
        )


Build = Callable[[nn.Module, Examples, int], nn.Module]
"""(network, example inputs, CPU threads) → a network that computes the same."""


def builder(backend: Backend) -> Build:
    """How the backend makes a network faster. May need a minute for each."""
    if backend.engine == "openvino":
        from worldgen_core.runtime.openvino_engine import OpenvinoNetwork

        return lambda network, examples, threads: OpenvinoNetwork(
            network, examples, threads, is_bf16=backend.is_bf16
        )
    if backend.engine == "onnx":
        from worldgen_core.runtime.onnx_engine import OnnxNetwork

        return OnnxNetwork
    from worldgen_core.runtime.torch_engine import Bf16Network, compiled

    def build(network: nn.Module, _examples: Examples, _threads: int) -> nn.Module:
        made = Bf16Network(network) if backend.is_bf16 else network
        return compiled(made) if backend.engine == "compile" else made

    return build
