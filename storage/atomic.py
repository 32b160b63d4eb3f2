"""Files appear whole or not at all: temporary name, flush, fsync, rename; a full disk is one clear error."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from storage.errors import StorageError

_FULL_OR_READ_ONLY = {
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "room within the disk quota",
    errno.EFBIG: "a file size that the system allows",
    errno.EROFS: "a writable file system",
}
_BLOCKED = {
    errno.EACCES: "permission to write",
    errno.EPERM: "permission to write",
    errno.ENOTDIR: "a folder, not a file, on the way there",
    errno.EEXIST: "a folder, not a file, of that name",
}


@contextmanager
def disk_errors(where: Path, *, also_blocked: bool = True) -> Generator[None]:
    """Turn a full or read-only disk under `where` into one clear `StorageError`.

    `also_blocked` counts missing permission and files in a folder's place, too: right around one write, wrong
    around a whole stage, which may meet such an error while it reads.
    """
    try:
        yield
    except OSError as error:
        known = {**_FULL_OR_READ_ONLY, **(_BLOCKED if also_blocked else {})}
        expected = known.get(error.errno or 0)
        if expected is None:
            raise
        raise StorageError(
            f"cannot write to {error.filename or where}",
            expected=expected,
            found=os.strerror(error.errno or 0),
            next_step="free or mount the disk, or point WORLDGEN_STORE at another folder, then run the same "
            "command again: what was finished is kept",
        ) from error


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """Open a file that takes the name `path` when the block ends well, and that vanishes when it does not."""
    with replacing_path(path) as partial, partial.open("w+b") as file:
        yield file
        file.flush()


@contextmanager
def replacing_path(path: Path) -> Generator[Path]:
    """The same for a library that opens files by name; the name keeps the ending of `path`."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    with disk_errors(path):
        try:
            yield partial
            sync_file(partial)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file in one piece, making its folder if need be."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(data)
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, in one piece."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def sync_folder(folder: Path) -> None:
    """Make the names of a folder's files survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of `path` survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
