"""Looks at a file before libav does: is it a plain file, inside the folder, and a video by its first bytes?

Opening is `safe_files`' and never blocks. Playlists and lists of other files never pass, whatever they are
called: only the first bytes of the known containers do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worldgen_core.errors import VideoError
from worldgen_core.video.safe_files import open_file, shown

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


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A regular, readable file whose first bytes are those of a known container."""

    path: Path
    container: Container
    size_bytes: int


def check_video(path: Path, *, folder: Path | None = None) -> CheckedFile:
    """What `path` holds by its first bytes; a link that leads out of `folder` (default: its own) is refused.

    Raises: VideoError for anything that libav should not see.
    """
    with open_file(folder or path.parent, path, error=VideoError) as file:
        head, size_bytes = file.read(_NUM_MAGIC_BYTES), os.fstat(file.fileno()).st_size
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
    return CheckedFile(path.resolve(), found, size_bytes)


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


def _unusable(path: Path, expected: str, found: str, next_step: str) -> VideoError:
    return VideoError(shown(path.name), expected=expected, found=found, next_step=next_step)
