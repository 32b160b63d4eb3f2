"""Reads a weights file that somebody else made: safetensors here, torch checkpoints in a child process.

Nothing is unpickled in this process. A checkpoint must be a plain zip archive as `torch.save` writes it; the
older formats, bare pickles, and whatever else a file may be are refused unread.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from torch import Tensor

from worldgen_core.errors import CheckpointError
from worldgen_core.importing import pickle_child
from worldgen_core.models.weights import read_safetensors
from worldgen_core.python_child import ChildError, run_module

NEXT_STEP = "name the file as its authors published it, or a safetensors copy of it"
MAX_BYTES = 8 << 30
TIMEOUT_S = 900.0


def read_foreign_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a torch checkpoint.

    Raises: CheckpointError if the file is missing, too large, damaged, or holds anything but named tensors.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path, next_step=NEXT_STEP)[0]
    _check_archive(path)
    with tempfile.TemporaryDirectory(prefix="worldgen-import-") as folder:
        out = Path(folder) / "weights.safetensors"
        try:
            run_module(pickle_child.__name__, str(path.resolve()), str(out), timeout_s=TIMEOUT_S)
        except ChildError as error:
            raise _refused(path, str(error)) from error
        return read_safetensors(out, next_step=NEXT_STEP)[0]


def _check_archive(path: Path) -> None:
    """Refuse whatever is no plain zip archive with one pickle in it, before anything reads it."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _refused(path, f"{size / 2**30:.1f} GiB; at most {MAX_BYTES >> 30} are read")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    pickles = [entry.filename for entry in entries if entry.filename.endswith(".pkl")]
    if len(pickles) != 1 or not pickles[0].endswith("data.pkl"):
        raise _refused(path, f"an archive with the pickles {pickles}")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise _refused(path, "a compressed archive, which torch never writes")


def _refused(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: published weights",
        expected="safetensors, or an archive of tensors as torch.save writes it",
        found=found,
        next_step=NEXT_STEP,
    )
