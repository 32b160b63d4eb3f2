"""Garbage collection: what no champion and no recent build needs, directly or through its inputs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from storage.artifacts import ArtifactStore
from storage.builds import build_path, split_builds
from storage.champions import read_champions, read_history
from storage.manifest import Manifest

KEPT_BUILDS = 5
"""How many builds of each recipe and variant count as recent."""


@dataclass(frozen=True)
class Garbage:
    """What a collection removes, or would remove."""

    artifacts: tuple[Manifest, ...]
    leftovers: tuple[Path, ...]
    """Work folders of published artifacts, and records of builds that are no longer recent."""

    @property
    def size_bytes(self) -> int:
        """Bytes that the artifacts and leftovers take."""
        loose = sum(
            path.stat().st_size for top in self.leftovers for path in [top, *top.rglob("*")] if path.is_file()
        )
        return loose + sum(manifest.size_bytes for manifest in self.artifacts)


def find_garbage(store: ArtifactStore, *, kept_builds: int = KEPT_BUILDS) -> Garbage:
    """Name everything that no champion, no champion before it and no recent build needs. Changes nothing."""
    manifests = list(store.manifests())
    needed = _with_inputs(_roots(store, kept_builds), manifests)
    unused = tuple(manifest for manifest in manifests if manifest.digest not in needed)
    return Garbage(unused, tuple(_finished_work(store, manifests)) + _old_records(store, kept_builds))


def collect_garbage(store: ArtifactStore, garbage: Garbage) -> None:
    """Remove what `find_garbage` named; an artifact that is being built right now is never among it."""
    for manifest in garbage.artifacts:
        with store.lock(manifest.stage, manifest.key):
            store.discard(manifest.stage, manifest.key)
    for path in garbage.leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
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


def _finished_work(store: ArtifactStore, manifests: Iterable[Manifest]) -> list[Path]:
    published = {
        store.folder(item.stage, item.key).relative_to(store.root / "artifacts") for item in manifests
    }
    work = store.root / "work"
    return [folder for folder in sorted(work.glob("*/*")) if folder.relative_to(work) in published]


def _old_records(store: ArtifactStore, kept_builds: int) -> tuple[Path, ...]:
    _, old = split_builds(store.root, kept_builds)
    return tuple(build_path(store.root, build.build_id) for build in old)
