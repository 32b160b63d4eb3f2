"""Opening files of a folder that somebody else filled: never outside it, never blocking, never without end.

A link may lead anywhere inside the folder. Pipes, sockets, devices and folders are refused before they are
opened; a file that is longer than allowed is not read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

from storage.errors import WorldgenError
from worldgen_core.errors import ConfigError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


_digests: dict[tuple[int, int, int, int], str] = {}
"""By device, inode, size and time of change."""


def shown(path: Path | str) -> str:
    """The path as a terminal can print it, whatever bytes are in its name."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def check_file(folder: Path, path: Path, *, error: type[WorldgenError] = ConfigError) -> Path:
    """Return where the regular file really is.

    Raises: `error` if it is missing, leads out of `folder`, or is no regular file.
    """
    what = shown(path.name)
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
        root = folder.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as problem:
        raise _unreadable(what, problem, error) from problem
    if not real.is_relative_to(root):
        raise error(
            what,
            expected="a file inside the folder of the videos",
            found="a link that leads out of it",
            next_step="copy the file into the folder",
        )
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "something else")
        raise error(what, expected="a regular file", found=kind, next_step="take it out of the folder")
    return real


def open_file(folder: Path, path: Path, *, error: type[WorldgenError] = ConfigError) -> BufferedReader:
    """Open a regular file inside `folder` for reading.

    Raises: `error` as `check_file` does, and if the file cannot be read.
    """
    real = check_file(folder, path, error=error)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(real, flags)
    except OSError as problem:
        raise _unreadable(shown(path.name), problem, error) from problem
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise error(
            shown(path.name),
            expected="a regular file",
            found="no regular file",
            next_step="run again when nothing else changes the folder",
        )
    return os.fdopen(handle, "rb")


def read_bytes(
    folder: Path, path: Path, *, max_bytes: int, error: type[WorldgenError] = ConfigError
) -> bytes:
    """The file's content.

    Raises: `error` as `open_file` does, and if the file is longer than `max_bytes`.
    """
    try:
        with open_file(folder, path, error=error) as file:
            content = file.read(max_bytes + 1)
    except OSError as problem:
        raise _unreadable(shown(path.name), problem, error) from problem
    if len(content) > max_bytes:
        raise error(
            shown(path.name),
            expected=f"a file of at most {max_bytes / 2**20:g} MiB",
            found="a longer one",
            next_step="shorten it, or raise slices.limits.label_mib",
        )
    return content


def sha256_file(folder: Path, path: Path, *, error: type[WorldgenError] = ConfigError) -> str:
    """The SHA-256 of the file's content, streamed; raises as `open_file` does.

    A file of unchanged size and time is read once a process: plan, run and summary of a build all ask.
    """
    try:
        with open_file(folder, path, error=error) as file:
            status = os.fstat(file.fileno())
            known = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if known not in _digests:
                _digests[known] = hashlib.file_digest(file, "sha256").hexdigest()
            return _digests[known]
    except OSError as problem:
        raise _unreadable(shown(path.name), problem, error) from problem


def _unreadable(what: str, problem: Exception, error: type[WorldgenError]) -> WorldgenError:
    reason = problem.strerror if isinstance(problem, OSError) else str(problem)
    return error(
        what,
        expected="a file that can be read",
        found=(reason or type(problem).__name__).lower(),
        next_step="mend or remove it, and check its permissions",
    )
