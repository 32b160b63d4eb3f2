"""Garbage collection: what no champion and no recent build needs, directly or through its inputs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from storage.artifacts import ArtifactStore
from storage.builds import build_path, split_builds
from storage.champions import read_champions, read_history
from storage.locks import hold_lock_if_free, is_held
from storage.manifest import Manifest

KEPT_BUILDS = 5
"""How many builds of each recipe and variant count as recent."""
KEPT_WORK_DAYS = 7.0
"""For how many days after its last change the work of an unfinished build is kept."""


@dataclass(frozen=True)
class Garbage:
    """What a collection removes, or would remove."""

    artifacts: tuple[Manifest, ...]
    leftovers: tuple[Path, ...]
    """Records of builds that are no longer recent."""
    work: tuple[Path, ...]
    """Units and checkpoints of builds that were killed and never went on."""

    @property
    def size_bytes(self) -> int:
        """Bytes that all of it takes."""
        loose = sum(size_of(path) for path in (*self.leftovers, *self.work))
        return loose + sum(manifest.size_bytes for manifest in self.artifacts)


def size_of(top: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(path.stat().st_size for path in [top, *top.rglob("*")] if path.is_file())


def find_garbage(
    store: ArtifactStore, *, kept_builds: int = KEPT_BUILDS, kept_work_days: float = KEPT_WORK_DAYS
) -> Garbage:
    """Name everything that no champion, no champion before it and no recent build needs. Changes nothing.

    Work of unfinished builds counts as needed while a build goes on with it, and for `kept_work_days` days.
    """
    manifests = list(store.manifests())
    needed = _with_inputs(_roots(store, kept_builds), manifests)
    unused = tuple(manifest for manifest in manifests if manifest.digest not in needed)
    return Garbage(unused, _old_records(store, kept_builds), tuple(_old_work(store, kept_work_days)))


def collect_garbage(store: ArtifactStore, garbage: Garbage) -> None:
    """Remove what `find_garbage` named; an artifact that is being built right now is never among it."""
    for manifest in garbage.artifacts:
        with store.lock(manifest.stage, manifest.key):
            store.discard(manifest.stage, manifest.key)
    for path in garbage.leftovers:
        path.unlink(missing_ok=True)
    for folder in garbage.work:
        with hold_lock_if_free(_lock_of(store, folder)) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)
    store.clear_leftovers()


def lineage(store: ArtifactStore, manifest: Manifest) -> list[tuple[int, Manifest]]:
    """An artifact and everything it was made from, as (depth, manifest), each input below its user."""
    by_digest = {item.digest: item for item in store.manifests()}
    found: list[tuple[int, Manifest]] = []

    def walk(item: Manifest, depth: int) -> None:
        found.append((depth, item))
        for digest in item.key_parts.inputs.values():
            if digest in by_digest:
                walk(by_digest[digest], depth + 1)

    walk(manifest, 0)
    return found


def _roots(store: ArtifactStore, kept_builds: int) -> set[str]:
    champions = read_champions(store.root)
    for champion in list(champions):
        champions += read_history(store.root, champion.game, champion.dataset_name)[-2:]
    kept = {ref.digest for c in champions for ref in (c.model, c.report, c.decision)}
    recent, _ = split_builds(store.root, kept_builds)
    return kept | {ref.digest for build in recent for ref in build.stages}


def _with_inputs(roots: Iterable[str], manifests: Iterable[Manifest]) -> set[str]:
    by_digest: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        by_digest.setdefault(manifest.digest, []).append(manifest)
    needed: set[str] = set()
    queue = list(roots)
    while queue:
        digest = queue.pop()
        if digest not in needed:
            needed.add(digest)
            queue += [up for item in by_digest.get(digest, []) for up in item.key_parts.inputs.values()]
    return needed


def _old_work(store: ArtifactStore, kept_days: float) -> list[Path]:
    """Work folders that no build holds: of killed builds, since publishing removes an artifact's own."""
    limit = time.time() - kept_days * 24 * 3600
    return [
        folder
        for folder in sorted((store.root / "work").glob("*/*"))
        if not is_held(_lock_of(store, folder)) and _last_change(folder) < limit
    ]


def _last_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])


def _lock_of(store: ArtifactStore, work: Path) -> Path:
    return store.lock_path(work.parent.name, work.name)


def _old_records(store: ArtifactStore, kept_builds: int) -> tuple[Path, ...]:
    _, old = split_builds(store.root, kept_builds)
    return tuple(build_path(store.root, build.build_id) for build in old)
