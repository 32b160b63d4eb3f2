"""The manifest: which files an artifact has, what they hash to, and what made them.

A manifest is written last. What no manifest lists does not exist.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from storage.atomic import disk_errors
from storage.errors import SchemaVersionError, ShardCorruptError

SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"


class FileEntry(BaseModel):
    """One file of an artifact. `mtime_ns` lets an untouched file skip hashing; the digest ignores it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: int
    sha256: str
    mtime_ns: int


class KeyParts(BaseModel):
    """Everything that could change a stage's bytes; the key is the SHA-256 of this."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    code: dict[str, str]
    """First-party source file → SHA-256 of its normalised syntax tree."""
    settings: dict[str, Any]
    """The stage's resolved settings, as JSON values."""
    inputs: dict[str, str]
    """Name of an upstream artifact or user file → content digest."""
    packages: dict[str, str]
    """Library → version."""

    @property
    def key(self) -> str:
        """SHA-256 over the canonical JSON of all parts, in hexadecimal."""
        text = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class ArtifactRef(BaseModel):
    """A small pointer to a published artifact: what a stage returns and what the next stage takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    key: str
    digest: str


class Manifest(BaseModel):
    """What an artifact is made of, and what made it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    stage: str
    key: str
    key_parts: KeyParts
    files: dict[str, FileEntry]
    digest: str
    """SHA-256 over the names and contents of all files; equal bytes give an equal digest on every machine."""
    metrics: dict[str, Any]
    """Reproducible figures."""
    headline: str
    figures: tuple[str, ...]
    """Picture files worth showing, best first."""
    notes: dict[str, Any]
    """What differs from run to run: timings, dates, benchmark figures."""
    machine: dict[str, str]
    git_commit: str
    libraries: dict[str, str]
    created_at: str
    """UTC, ISO 8601."""

    @field_validator("files")
    @classmethod
    def _files_lie_within(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"{name} lies outside the artifact")
        return files

    @property
    def ref(self) -> ArtifactRef:
        """The small pointer to this artifact."""
        return ArtifactRef(stage=self.stage, key=self.key, digest=self.digest)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size_bytes for entry in self.files.values())


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """List every file below `folder` (not the manifest itself) with its size and hash, sorted by name."""
    entries: dict[str, FileEntry] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != FILE_NAME:
            stat = path.stat()
            entries[name] = FileEntry(
                size_bytes=stat.st_size, sha256=hash_file(path), mtime_ns=stat.st_mtime_ns
            )
    return entries


def digest_files(files: dict[str, FileEntry]) -> str:
    """Return one digest for a set of files: their names and contents, nothing else."""
    lines = [f"{name}\0{files[name].sha256}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of `folder`, or None where nothing was published.

    Raises: SchemaVersionError for another format version; ShardCorruptError for a file that is no manifest.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return parse_manifest(text, where=str(path))


def parse_manifest(text: str, *, where: str) -> Manifest:
    """Read the text of a manifest; `where` is for messages only.

    Raises: SchemaVersionError for another format version; ShardCorruptError for a text that is no manifest.
    """
    try:
        raw = json.loads(text)
        version = raw.get("schema_version")
    except (ValueError, AttributeError) as error:
        raise _not_a_manifest(where, str(error)) from error
    if version != SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{where}: manifest of another format",
            expected=f"schema_version {SCHEMA_VERSION}",
            found=repr(version),
            next_step="use the worldgen version that wrote it, or run the same build, which replaces it",
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise _not_a_manifest(where, f"{error.error_count()} wrong fields") from error


def _not_a_manifest(where: str, found: str) -> ShardCorruptError:
    return ShardCorruptError(
        f"{where}: not a readable manifest",
        expected="the JSON that worldgen wrote",
        found=found,
        next_step="run the same build again, which replaces it",
    )


def find_damage(folder: Path, manifest: Manifest, *, full: bool = False) -> list[str]:
    """Name every file that does not hold what the manifest promises; an empty list means whole.

    Size and modification time are compared first, and the SHA-256 where they differ (always with `full`). A
    file that was merely copied gets its recorded time back, so that the next check is fast again; a damaged
    one that looked untouched loses it, so that every check sees the damage from then on.
    """
    damage: list[str] = []
    for name, entry in manifest.files.items():
        reason = _check_file(folder / name, entry, full=full)
        if reason:
            damage.append(f"{reason}: {name}")
    return damage


def _check_file(path: Path, entry: FileEntry, *, full: bool) -> str | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "file missing"
    if stat.st_size != entry.size_bytes:
        return "file corrupted"
    if full or stat.st_mtime_ns != entry.mtime_ns:
        if hash_file(path) != entry.sha256:
            if stat.st_mtime_ns == entry.mtime_ns:
                with disk_errors(path):
                    os.utime(path)
            return "file corrupted"
        if stat.st_mtime_ns != entry.mtime_ns:
            os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
    return None
