"""Which device computes: chosen once, by name, and never silently another than the one asked for."""

from __future__ import annotations

import torch

from worldgen_core.errors import ConfigError
from worldgen_core.names import DeviceName


def _is_available(name: str) -> bool:
    if name == "cuda":
        return torch.cuda.is_available()
    if name == "mps":
        return torch.backends.mps.is_available()
    return name == "cpu"


def choose_device(name: DeviceName) -> torch.device:
    """Return the device of that name; "auto" takes cuda, then mps, then cpu.

    Raises: ConfigError if a device is named that is unknown or not there.
    """
    available = [kind for kind in ("cuda", "mps", "cpu") if _is_available(kind)]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise ConfigError(
            "device",
            expected=f"auto or one of {', '.join(available)} on this machine",
            found=repr(name),
            next_step="choose another device, or install a torch build and driver that support it",
        )
    return torch.device(name)
