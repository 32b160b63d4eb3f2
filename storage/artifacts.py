"""The artifact store: a folder in which every finished piece of work appears whole, by one rename.

artifacts/STAGE/KEY/      published files, manifest.json
tmp/                      builds under way; never read by anyone else
work/STAGE/KEY/           units and checkpoints from which a killed build goes on
locks/                    one lock a key
unpushed/STAGE/KEY        a mark on what the remote store has yet to get
refs/, builds/            champions and build records (storage/champions.py, storage/builds.py)
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

from storage.atomic import disk_errors, sync_file, sync_folder, write_bytes, write_json
from storage.errors import ManifestConflictError, SchemaVersionError, ShardCorruptError, StorageError
from storage.locks import hold_lock
from storage.manifest import (
    FILE_NAME,
    ArtifactRef,
    FileEntry,
    Manifest,
    describe_files,
    digest_files,
    find_damage,
    parse_manifest,
    read_manifest,
)
from storage.remote import RemoteMirror

_KEY_LENGTH = 20


class ArtifactStore:
    """Published artifacts under one root folder, optionally mirrored in a remote store."""

    def __init__(self, root: Path, *, remote: RemoteMirror | None = None) -> None:
        self.root = root
        self.remote = remote

    def folder(self, stage: str, key: str) -> Path:
        """Where the artifact of `stage` with `key` lives, published or not."""
        return self.root / "artifacts" / stage / key[:_KEY_LENGTH]

    def path(self, ref: ArtifactRef) -> Path:
        """The folder of a published artifact.

        Raises: StorageError if it is gone.
        """
        folder = self.folder(ref.stage, ref.key)
        if not (folder / FILE_NAME).is_file():
            raise StorageError(
                f"artifact {ref.stage}/{ref.key[:_KEY_LENGTH]} is gone",
                expected=f"a published artifact in {folder}",
                found="no manifest there",
                next_step="run the same build again; it makes what is missing",
            )
        return folder

    def manifest(self, ref: ArtifactRef) -> Manifest:
        """The manifest of a published artifact."""
        manifest = read_manifest(self.path(ref))
        assert manifest is not None, "path() has seen the file"
        return manifest

    def find(self, stage: str, key: str) -> tuple[Manifest | None, list[str]]:
        """Look an artifact up by its key: its manifest if it is there and whole, else what is wrong with it.

        An artifact that only the remote store has is fetched first. Must be called with the key's lock held.
        """
        manifest, damage = self.look(stage, key)
        if manifest is None or (self.folder(stage, key) / FILE_NAME).is_file():
            return manifest, damage
        self._fetch(manifest)
        return self.look(stage, key)

    def look(self, stage: str, key: str) -> tuple[Manifest | None, list[str]]:
        """Answer as `find` does, but write nothing: of what only the remote store has, read the manifest."""
        folder = self.folder(stage, key)
        try:
            manifest = read_manifest(folder)
            if manifest is None:
                return self._read_remote(stage, key), []
        except (ShardCorruptError, SchemaVersionError, ManifestConflictError) as error:
            return None, [str(error)]
        damage = find_damage(folder, manifest)
        return (None, damage) if damage else (manifest, [])

    def lock(
        self, stage: str, key: str, *, on_wait: Callable[[str], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the one lock of a key: of two builds of one thing, one works and the other waits."""
        return hold_lock(self.lock_path(stage, key), on_wait=on_wait)

    def lock_path(self, stage: str, key: str) -> Path:
        """The file of a key's lock."""
        return self.root / "locks" / f"{stage}-{key[:_KEY_LENGTH]}.lock"

    def resume_folder(self, stage: str, key: str) -> Path:
        """The folder of units and checkpoints that survive a killed build of this key."""
        folder = self.root / "work" / stage / key[:_KEY_LENGTH]
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def begin(self, stage: str) -> Path:
        """Make an empty temporary folder on the same file system as the artifacts."""
        parent = self.root / "tmp"
        with disk_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=f"{stage}-{os.getpid()}-", dir=parent))

    def publish(self, built: Path, describe: Callable[[str, dict[str, FileEntry]], Manifest]) -> Manifest:
        """Turn a temporary folder into a published artifact by one rename; the manifest is its last file.

        `describe` gets the digest and the file table and returns the manifest. Must be called with the
        key's lock held.
        """
        with disk_errors(built):
            files = describe_files(built)
            for name in files:
                sync_file(built / name)
            manifest = describe(digest_files(files), files)
            write_json(built / FILE_NAME, manifest.model_dump(mode="json"))
            target = self.folder(manifest.stage, manifest.key)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._retire(target)
            if self.remote is not None:
                write_bytes(self._unpushed(manifest.stage, manifest.key), b"")
            built.rename(target)
            sync_folder(target.parent)
            shutil.rmtree(
                self.root / "work" / manifest.stage / manifest.key[:_KEY_LENGTH], ignore_errors=True
            )
        self.push_pending(manifest.stage, manifest.key)
        return manifest

    def is_pending(self, stage: str, key: str) -> bool:
        """True for an artifact that was published here and has not reached the remote store."""
        return self.remote is not None and self._unpushed(stage, key).exists()

    def push_pending(self, stage: str, key: str) -> None:
        """Upload an artifact that is pending. Must be called with the key's lock held.

        Raises: TransientError; the artifact stays pending.
        """
        if self.remote is not None and self.is_pending(stage, key):
            self.remote.push(self.folder(stage, key), _remote_name(stage, key))
            self._unpushed(stage, key).unlink(missing_ok=True)

    def discard(self, stage: str, key: str) -> None:
        """Remove an artifact: first out of sight by a rename, then from the disk."""
        self._retire(self.folder(stage, key))
        self._unpushed(stage, key).unlink(missing_ok=True)

    def manifests(self, stage: str | None = None) -> Iterator[Manifest]:
        """Every readable manifest, oldest first within a stage; unreadable ones are left to `verify`."""
        for folder in self.folders(stage):
            try:
                manifest = read_manifest(folder)
            except StorageError:
                continue
            if manifest is not None:
                yield manifest

    def folders(self, stage: str | None = None) -> list[Path]:
        """The folders of all published artifacts, oldest first within a stage."""
        found = (self.root / "artifacts").glob(f"{stage or '*'}/*/{FILE_NAME}")
        return [
            path.parent for path in sorted(found, key=lambda p: (p.parent.parent.name, p.stat().st_mtime))
        ]

    def resolve(self, name: str) -> Manifest:
        """Find an artifact by `STAGE/KEY`, a stage's name (its newest), or the start of a key or digest.

        Of several artifacts with the same content it is the newest. Raises: StorageError if nothing fits, or
        artifacts of different content.
        """
        stage, _, start = name.partition("/")
        found = list(self.manifests())
        if not start and any(manifest.stage == stage for manifest in found):
            return [manifest for manifest in found if manifest.stage == stage][-1]
        fits = [m for m in found if start and m.stage == stage and m.key.startswith(start)]
        fits = fits or [
            m for m in found if not start and (m.key.startswith(name) or m.digest.startswith(name))
        ]
        if len({manifest.digest for manifest in fits}) != 1:
            raise StorageError(
                f"cannot tell which artifact {name!r} is",
                expected="one artifact whose stage, key or digest fits",
                found=f"{len(fits)} that fit of {len(found)} in {self.root}",
                next_step="worldgen artifacts ls",
            )
        return fits[-1]

    def verify(self, folder: Path) -> list[str]:
        """Hash every file of one artifact and name what is wrong."""
        try:
            manifest = read_manifest(folder)
        except StorageError as error:
            return [str(error)]
        return [] if manifest is None else find_damage(folder, manifest, full=True)

    def clear_leftovers(self) -> None:
        """Remove temporary folders of processes that no longer run."""
        for folder in (self.root / "tmp").glob("*-*-*"):
            owner = folder.name.split("-")[-2]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)

    def _retire(self, folder: Path) -> None:
        if folder.exists():
            grave = self.begin("retired") / "old"
            with disk_errors(folder):
                folder.rename(grave)
            shutil.rmtree(grave.parent, ignore_errors=True)

    def _read_remote(self, stage: str, key: str) -> Manifest | None:
        if self.remote is None:
            return None
        text = self.remote.read_manifest(_remote_name(stage, key))
        if text is None:
            return None
        where = f"{self.remote.url}/{_remote_name(stage, key)}/{FILE_NAME}"
        manifest = parse_manifest(text, where=where)
        if (manifest.stage, manifest.key) != (stage, key):
            raise ManifestConflictError(
                f"{where}: another artifact's manifest",
                expected=f"{stage}/{key}",
                found=f"{manifest.stage}/{manifest.key}",
                next_step="run the same build again, which replaces it",
            )
        return manifest

    def _fetch(self, manifest: Manifest) -> None:
        """Copy an artifact from the remote store; whether its bytes are right is for `look` to say."""
        assert self.remote is not None, "only called with a remote store"
        built, target = self.begin(manifest.stage), self.folder(manifest.stage, manifest.key)
        try:
            with disk_errors(built):
                self.remote.pull(_remote_name(manifest.stage, manifest.key), built, manifest.files)
                write_json(built / FILE_NAME, manifest.model_dump(mode="json"))
                target.parent.mkdir(parents=True, exist_ok=True)
                self._retire(target)
                built.rename(target)
        finally:
            shutil.rmtree(built, ignore_errors=True)

    def _unpushed(self, stage: str, key: str) -> Path:
        return self.root / "unpushed" / stage / key[:_KEY_LENGTH]


def _remote_name(stage: str, key: str) -> str:
    return f"artifacts/{stage}/{key[:_KEY_LENGTH]}"
