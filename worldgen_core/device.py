"""Which device computes, and how precisely: chosen by name, and never silently another than asked for."""

from __future__ import annotations

import torch

from worldgen_core.errors import ConfigError
from worldgen_core.names import DeviceName, PrecisionName


def _is_available(name: str) -> bool:
    if name == "cuda":
        return torch.cuda.is_available()
    if name == "mps":
        return torch.backends.mps.is_available()
    return name == "cpu"


def available_devices() -> list[str]:
    """Return the names of the devices that are there, in the order in which "auto" takes them."""
    return [kind for kind in ("cuda", "mps", "cpu") if _is_available(kind)]


def choose_device(name: DeviceName) -> torch.device:
    """Return the device of that name; "auto" takes cuda, then mps, then cpu.

    Raises: ConfigError if a device is named that is unknown or not there.
    """
    available = available_devices()
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


def choose_precision(name: PrecisionName, device: torch.device) -> PrecisionName:
    """Return the precision of that name; "auto" takes bf16 where the device multiplies it fast, else float32.

    That is so on GPUs that have it and on CPUs with AMX or AVX-512 BF16 (1.8 times as fast); elsewhere bf16
    is emulated, several times slower.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        features = torch.cpu.get_capabilities()
        return "bf16" if features.get("amx_bf16", False) or features.get("avx512_bf16", False) else "float32"
    return "float32"
