"""The process that reads other people's checkpoints: `python -m ….importing.pickle_child SOURCE OUT`.

It has limits on memory, processor time and files, reads SOURCE with torch's weights-only unpickler, which
builds tensors and plain containers and calls nothing else, and writes the tensors to OUT as safetensors.
Whatever it refuses ends it with status 2 and one line that says why.
"""

from __future__ import annotations

import pickle
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

REFUSED = 2
_GIB = 1 << 30


def main(source: Path, out: Path) -> int:
    """Convert one file and return the exit status."""
    _limit(source.stat().st_size)
    try:
        tensors = named_tensors(torch.load(source, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        # Torch's own words first advise to load without the restriction; what it met comes in a later part.
        parts = [part for part in str(error).split("\n\n") if "weights_only" not in part]
        met = parts[0] if parts else "something else"
        sys.stderr.write(f"not tensors alone: {_line(met)}\n")
        return REFUSED
    except (RuntimeError, ValueError, TypeError, EOFError, KeyError, OSError, MemoryError) as error:
        sys.stderr.write(f"{type(error).__name__}: {_line(str(error))}\n")
        return REFUSED
    save_file(tensors, out)
    return 0


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _limit(num_bytes: int) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, 8 * _GIB + 4 * num_bytes),
        (resource.RLIMIT_CPU, 600),
        (resource.RLIMIT_FSIZE, 2 * num_bytes + (1 << 20)),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))


def named_tensors(content: Any) -> dict[str, Tensor]:
    """The content, if it is a flat dictionary of dense tensors by name; raises TypeError if not."""
    if not isinstance(content, dict):
        raise TypeError(f"a {type(content).__name__} and no dictionary of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise TypeError(f"{name!r:.60} is a {type(value).__name__} and no named dense tensor")
    # Copies: tensors may share storage, which safetensors does not hold.
    return {name: value.detach().clone().contiguous() for name, value in content.items()}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
