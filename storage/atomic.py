"""Writing that never leaves half a file: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.errors import StorageError

_DISK_ERRORS = {
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "room within the disk quota",
    errno.EFBIG: "a file size that the system allows",
    errno.EROFS: "a writable file system",
    errno.EACCES: "permission to write",
    errno.EPERM: "permission to write",
    errno.ENOTDIR: "a folder, not a file, on the way there",
    errno.EEXIST: "a folder, not a file, of that name",
}


@contextmanager
def disk_errors(where: Path) -> Generator[None]:
    """Turn a full, read-only or blocked disk under `where` into one clear `StorageError`."""
    try:
        yield
    except OSError as error:
        expected = _DISK_ERRORS.get(error.errno or 0)
        if expected is None:
            raise
        raise StorageError(
            f"cannot write to {error.filename or where}",
            expected=expected,
            found=os.strerror(error.errno or 0),
            next_step="free or mount the disk, or point WORLDGEN_STORE at another folder, then run the same "
            "command again: what was finished is kept",
        ) from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of `path` survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees all of it or the file as it was before."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
