"""The root of every error worldgen raises on purpose, and the errors of storage.

Each error keeps its facts as attributes and builds one message of four parts: what (and where), expected,
found, what to do next.
"""

from __future__ import annotations


class WorldgenError(Exception):
    """An error with four facts: what went wrong where, what was expected, what was found, what to do next."""

    def __init__(self, what: str, *, expected: str, found: str, next_step: str) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.next_step = next_step
        super().__init__(what, expected, found, next_step)

    def __str__(self) -> str:
        """One message of four parts, ready for a terminal."""
        return f"{self.what}: expected {self.expected}; found {self.found}. Next: {self.next_step}"

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword facts when the error crosses a process border."""
        return _rebuild, (type(self), self.what, self.expected, self.found, self.next_step)


def _rebuild(
    kind: type[WorldgenError], what: str, expected: str, found: str, next_step: str
) -> WorldgenError:
    return kind(what, expected=expected, found=found, next_step=next_step)


class StorageError(WorldgenError):
    """Something on disk, or in a remote store, is not as it should be."""


class SchemaVersionError(StorageError):
    """A file was written by another version of the format."""


class ShardCorruptError(StorageError):
    """A shard, a chunk in it, or a manifest's file does not hold what its manifest promises."""


class ManifestConflictError(StorageError):
    """Two builds disagree about one artifact."""


class TransientError(StorageError):
    """A failure that a retry may cure, such as a remote store that does not answer."""
