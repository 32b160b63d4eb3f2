"""Training checkpoints: one safetensors file each, with a header that proves it whole and fitting.

Nothing is pickled. A file is written under a temporary name, flushed, and renamed; the last two are kept. A
damaged newest one is skipped with a warning in favour of the one before; one of another architecture is an
error, and so is a folder in which all are damaged.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldgen_core.errors import CheckpointError
from worldgen_core.models.weights import read_safetensors, write_safetensors

logger = logging.getLogger(__name__)

FORMAT_VERSION = "1"
NUM_KEPT = 2
_PATTERN = "checkpoint-*.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """State after `train_step` steps; `extra` is whatever JSON the loop wants back."""

    train_step: int
    tensors: dict[str, Tensor]
    extra: dict[str, Any]


def architecture_of(tensors: Mapping[str, Tensor]) -> str:
    """A digest of names, shapes and types: equal for every checkpoint of one architecture."""
    layout = sorted((name, list(value.shape), str(value.dtype)) for name, value in tensors.items())
    return hashlib.sha256(json.dumps(layout).encode()).hexdigest()


def content_of(tensors: Mapping[str, Tensor], *extra: str) -> str:
    """A digest of all bytes, in the order of the names."""
    digest = hashlib.sha256()
    for part in extra:
        digest.update(part.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        # As bytes: NumPy knows no bfloat16, which a foreign file may hold.
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def checkpoint_path(folder: Path, train_step: int) -> Path:
    """Where the checkpoint after `train_step` steps is, if it is there."""
    return folder / f"checkpoint-{train_step:08d}.safetensors"


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int = 0) -> Path:
    """Write one checkpoint atomically and delete all but the last two and the one after `keep` steps."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
    extra = json.dumps(checkpoint.extra)
    header = {
        "format_version": FORMAT_VERSION,
        "train_step": str(checkpoint.train_step),
        "architecture": architecture_of(tensors),
        "extra": extra,
        "sha256": content_of(tensors, str(checkpoint.train_step), extra),
    }
    path = checkpoint_path(folder, checkpoint.train_step)
    write_safetensors(path, tensors, header)
    for old in sorted(folder.glob(_PATTERN))[:-NUM_KEPT]:
        if old != checkpoint_path(folder, keep):
            old.unlink()
    return path


def load_checkpoint(path: Path, *, architecture: str) -> Checkpoint:
    """Read and prove one checkpoint.

    Raises: CheckpointError with the reason, if it is damaged (`damaged` in the message) or of another
    architecture.
    """
    tensors, header = read_safetensors(
        path, next_step="delete it: the one before, if there is one, takes over"
    )
    train_step, extra = header.get("train_step", ""), header.get("extra", "")
    if header.get("sha256") != content_of(tensors, train_step, extra):
        raise CheckpointError(
            str(path),
            expected="contents that match the header's sha256",
            found="other contents: the file is damaged",
            next_step="delete it: the one before, if there is one, takes over",
        )
    if header.get("architecture") != architecture:
        raise ArchitectureError(
            str(path),
            expected="the architecture and optimizer of the present settings",
            found="tensors of other names or shapes",
            next_step="go back to the settings it was trained with, or delete the resume folder",
        )
    return Checkpoint(int(train_step), tensors, json.loads(extra))


class ArchitectureError(CheckpointError):
    """A whole checkpoint of another architecture: never skipped, since the settings must be wrong."""


def load_latest(folder: Path, *, architecture: str) -> Checkpoint | None:
    """The newest whole checkpoint of a folder, or None if it holds none at all.

    Raises: CheckpointError if a whole checkpoint belongs to another architecture, or if there are checkpoints
    and none of them is whole: starting afresh would silently cost what was trained.
    """
    damaged: list[CheckpointError] = []
    for path in _newest_first(folder.glob(_PATTERN)):
        try:
            return load_checkpoint(path, architecture=architecture)
        except ArchitectureError:
            raise
        except CheckpointError as error:
            logger.warning("checkpoint skipped", extra={"path": str(path), "reason": str(error)})
            damaged.append(error)
    if damaged:
        raise CheckpointError(
            str(folder),
            expected="at least one whole checkpoint among those that are there",
            found="; ".join(f"{Path(error.what).name}: {error.found}" for error in damaged),
            next_step=f"put a good copy back, or delete {folder} to train from the start",
        )
    return None


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, reverse=True)
