"""Mirroring of artifacts in any remote store that fsspec reaches (s3, gs, sftp, file, memory, ...).

The local folder stays the place where everything works; the mirror gets each published artifact, manifest
last, and gives it to machines that do not have it yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from fsspec.core import url_to_fs  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]  -- untyped

from storage.errors import StorageError, TransientError
from storage.manifest import FILE_NAME

_url_to_fs = cast("Callable[[str], tuple[Any, str]]", url_to_fs)


class RemoteMirror:
    """Artifacts under one URL. Network faults come out as `TransientError`, so that a stage may retry."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def push(self, folder: Path, name: str) -> None:
        """Upload a published artifact in the place of what was there.

        The old manifest goes first and the new one comes last, so readers never see half of it.
        """
        try:
            system, root = self._open()
            target = f"{root}/{name}"
            if system.exists(f"{target}/{FILE_NAME}"):
                system.rm_file(f"{target}/{FILE_NAME}")
            files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME)
            for path in [*files, folder / FILE_NAME]:
                remote = f"{target}/{path.relative_to(folder).as_posix()}"
                system.makedirs(remote.rpartition("/")[0], exist_ok=True)
                system.put_file(str(path), remote)
        except OSError as error:
            raise self._fault("upload", name, error) from error

    def read_manifest(self, name: str) -> str | None:
        """The text of an artifact's manifest; None if the remote store does not have the artifact."""
        try:
            system, root = self._open()
            return bytes(system.cat_file(f"{root}/{name}/{FILE_NAME}")).decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._fault("download", name, error) from error

    def pull(self, name: str, folder: Path, files: Iterable[str]) -> None:
        """Download the named files of an artifact into `folder`; a missing one is left out."""
        try:
            system, root = self._open()
            for file in files:
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    system.get_file(f"{root}/{name}/{file}", str(path))
        except OSError as error:
            raise self._fault("download", name, error) from error

    def _open(self) -> tuple[Any, str]:
        try:
            opened: Any = _url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise StorageError(
                f"WORLDGEN_STORE={self.url} cannot be opened",
                expected="a folder, or a URL whose fsspec driver is installed",
                found=str(error),
                next_step="install the driver (s3fs, gcsfs, sshfs …) or correct the URL",
            ) from error
        return opened[0], str(opened[1]).rstrip("/")

    def _fault(self, action: str, name: str, error: OSError) -> TransientError:
        return TransientError(
            f"{action} of {self.url}/{name} failed",
            expected="a remote store that answers",
            found=f"{type(error).__name__}: {error}",
            next_step="run the same command again; finished stages are kept locally",
        )
