"""Looks at a file before libav does: is it a plain file, inside the folder, and a video by its first bytes?

Nothing here can block: no path is opened before `stat` has said that it is a regular file, and then without
waiting. Playlists and lists of other files never pass, whatever they are called: only the first bytes of the
known containers do.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worldgen_core.errors import VideoError

Container = Literal["mov", "matroska", "avi"]

SUFFIXES: dict[str, Container] = {
    ".mp4": "mov",
    ".m4v": "mov",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "matroska",
    ".avi": "avi",
}
"""File name endings that are taken for videos, and the container that belongs to each."""

_MOV_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_NUM_MAGIC_BYTES = 16
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A regular, readable file whose first bytes are those of a known container."""

    path: Path
    container: Container
    size_bytes: int


def check_file(path: Path, *, folder: Path | None = None) -> CheckedFile:
    """What `path` holds by its first bytes; a link that leads out of `folder` (default: its own) is refused.

    Raises: VideoError for anything that libav should not see.
    """
    real = _follow(path, folder or path.parent)
    head, size_bytes = _read_head(path, real)
    if size_bytes == 0:
        raise _unusable(path, "some bytes", "an empty file", "copy or record the file again")
    found = _sniff(head)
    expected = SUFFIXES.get(path.suffix.lower())
    if expected is None:
        raise _unusable(
            path,
            "a name that ends in " + ", ".join(SUFFIXES),
            f"{path.suffix or 'no ending'}",
            "rename the file, or convert it with ffmpeg",
        )
    if found is None:
        raise _unusable(
            path,
            "the first bytes of an MP4, MOV, Matroska, WebM or AVI video",
            _describe(head),
            "remove it from the folder, or convert the recording with ffmpeg",
        )
    if found != expected:
        fitting = "/".join(suffix for suffix, container in SUFFIXES.items() if container == found)
        raise _unusable(
            path,
            f"{expected} content, as its name says",
            f"{found} content",
            f"rename it to end in {fitting}",
        )
    return CheckedFile(real, found, size_bytes)


def shown_name(path: Path) -> str:
    """The file's name fit for one line of a message."""
    return "".join(character if character.isprintable() else "?" for character in path.name)


def _follow(path: Path, folder: Path) -> Path:
    """The path without links, which must stay in the folder and be a regular file."""
    try:
        real = path.resolve(strict=True)
        inside = folder.resolve(strict=True)
        mode = os.stat(real, follow_symlinks=False).st_mode  # noqa: PTH116 (no link is left to follow)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unusable(path, "a file", _reason(error), "correct the link or the name") from error
    if not real.is_relative_to(inside):
        raise _unusable(
            path,
            f"a file inside {folder}",
            f"a link to {real}",
            "copy the video into the folder",
        )
    for is_kind, words in _KINDS:
        if is_kind(mode):
            raise _unusable(path, "a regular file", words, "remove it from the folder")
    return real


def _read_head(path: Path, real: Path) -> tuple[bytes, int]:
    """The first bytes and the size, of a file that is still regular once it is open."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(real, flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _unusable(path, "a regular file", "something else", "remove it from the folder")
            return os.read(descriptor, _NUM_MAGIC_BYTES), status.st_size
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unusable(path, "a file that can be read", _reason(error), "mend its permissions") from error


def _sniff(head: bytes) -> Container | None:
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[4:8] in _MOV_BOXES:
        return "mov"
    return None


def _describe(head: bytes) -> str:
    if not any(head):
        return "zero bytes only at its start"
    if head.isascii() and head.decode("ascii").replace("\n", " ").replace("\r", " ").isprintable():
        return f"text that starts with {head.decode('ascii').strip()!r}"
    return f"bytes that start with {head[:8].hex(' ')}"


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _unusable(path: Path, expected: str, found: str, next_step: str) -> VideoError:
    return VideoError(shown_name(path), expected=expected, found=found, next_step=next_step)
