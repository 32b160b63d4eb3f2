"""Locks between processes that the kernel frees when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from storage.atomic import disk_errors


@contextmanager
def hold_lock(path: Path, *, on_wait: Callable[[str], None] | None = None) -> Generator[None]:
    """Hold an exclusive `flock` on `path` for the length of a `with` block.

    Waits as long as another live process holds it; `on_wait` is then called once with what that process
    wrote about itself. A lock of a killed process is free at once.
    """
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait(os.pread(descriptor, 200, 0).decode(errors="replace").strip())
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with disk_errors(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def hold_lock_if_free(path: Path) -> Generator[bool]:
    """Hold an exclusive `flock` for the length of a `with` block, or yield False if somebody holds it."""
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """True while a live process holds the lock. Writes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(path: Path) -> int:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
