"""`worldgen artifacts`: what it says is true, and what it advises mends."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from flows.cli.artifacts import app
from storage.artifacts import ArtifactStore
from storage.builds import BuildRecord, write_build
from storage.errors import StorageError
from storage.latents import LatentInfo, LatentWriter
from storage.location import open_store
from storage.manifest import KeyParts, Manifest
from tests.episodes import make_dataset, make_episodes


@pytest.fixture
def store() -> ArtifactStore:
    return open_store()


def publish(store: ArtifactStore, built: Path, stage: str) -> Manifest:
    parts = KeyParts(stage=stage, code={}, settings={}, inputs={}, packages={})

    def describe(digest, entries):
        return Manifest(
            stage=stage, key=parts.key, key_parts=parts, files=entries, digest=digest, metrics={},
            headline="", figures=(), notes={}, machine={}, git_commit="", libraries={}, created_at="",
        )  # fmt: skip

    with store.lock(stage, parts.key):
        return store.publish(built, describe)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def flip_unseen(path: Path) -> None:
    """Flip a bit that neither size nor time betrays."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_verify_names_the_damaged_episode_and_the_next_build_sees_it(store: ArtifactStore) -> None:
    built = store.begin("capture")
    make_dataset(built, make_episodes(3), format="npz")
    manifest = publish(store, built, "capture")
    record = BuildRecord(build_id="1", recipe="build-flappy", variant="smoke/direct", stages=(manifest.ref,))
    write_build(store.root, record)
    assert run("verify").exit_code == 0
    flip_unseen(store.path(manifest.ref) / "episode-00001.npz")
    assert store.find("capture", manifest.key) == (manifest, [])
    result = run("verify", "capture")
    assert isinstance(result.exception, StorageError)
    assert "file corrupted: episode-00001.npz" in result.output
    (unit,) = [line for line in result.output.splitlines() if line.startswith("    /")]
    assert "episode-00001.npz" in unit
    assert "part of: build-flappy smoke/direct" in result.output
    assert "0 of 1 artifacts are whole" in result.output
    assert store.find("capture", manifest.key) == (None, ["file corrupted: episode-00001.npz"])


def test_verify_names_the_damaged_rows_of_latents(store: ArtifactStore) -> None:
    built = store.begin("encode_latents")
    with LatentWriter(built, LatentInfo("flappy", 4, 3, 2)) as writer:
        for number in range(3):
            writer.write(f"episode {number}", np.ones((20, 4, 3, 2), np.float32))
    manifest = publish(store, built, "encode_latents")
    flip_unseen(store.path(manifest.ref) / "latents-00000.npy")
    assert "rows 40 to 60 (episode 'episode 2')" in run("verify").output


def test_verify_of_other_artifacts_names_files_alone(store: ArtifactStore) -> None:
    built = store.begin("report")
    (built / "report.md").write_text("x" * 300)
    manifest = publish(store, built, "report")
    flip_unseen(store.path(manifest.ref) / "report.md")
    lines = run("verify").output.splitlines()
    assert lines[0].endswith("file corrupted: report.md")
    assert lines[1] == "    part of: no build on record"


def test_gc_shows_old_work_with_its_size_before_it_goes(store: ArtifactStore) -> None:
    folder = store.resume_folder("train_model", "0" * 64)
    (folder / "checkpoint").write_bytes(b"x" * 1_500_000)
    for path in (folder / "checkpoint", folder):
        os.utime(path, (1, 1))
    line = f"{folder.relative_to(store.root)}  1.5 MB"
    dry = run("gc", "--dry-run").output
    assert line in dry
    assert "would free 1.5 MB: 0 artifacts, work of 1 unfinished builds" in dry
    assert folder.exists()
    assert line not in run("gc", "--work-days", "100000").output
    assert "freed 1.5 MB" in run("gc").output
    assert not folder.exists()
