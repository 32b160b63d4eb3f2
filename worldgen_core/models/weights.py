"""Reads and writes weights as safetensors: atomic, and never unpickling anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from storage.atomic import replacing_path
from worldgen_core.errors import CheckpointError


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write a safetensors file that appears whole or not at all."""
    with replacing_path(path) as partial:
        save_file(dict(tensors), partial, dict(header))


def read_safetensors(path: Path, *, next_step: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and header of a safetensors file; anything else, pickles included, is refused unread.

    Raises: CheckpointError.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118  # not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            str(path),
            expected="a whole safetensors file",
            found=f"{type(error).__name__}: {error}",
            next_step=next_step,
        ) from error
