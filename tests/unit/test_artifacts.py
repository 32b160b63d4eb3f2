"""The artifact store: what is published is whole, what is damaged is named, what is needed stays."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from pathlib import Path

import pytest

from storage.artifacts import ArtifactStore
from storage.builds import BuildRecord, read_builds, write_build
from storage.champions import Champion, incumbent_for, promote, read_champion, read_history
from storage.errors import SchemaVersionError, ShardCorruptError, StorageError, TransientError
from storage.garbage import collect_garbage, find_garbage, lineage
from storage.locks import hold_lock
from storage.manifest import KeyParts, Manifest, find_damage, read_manifest
from storage.remote import RemoteMirror


def parts_of(stage: str, inputs: dict[str, str] | None = None, **settings: object) -> KeyParts:
    return KeyParts(stage=stage, code={}, settings=settings, inputs=inputs or {}, packages={})


def publish(store: ArtifactStore, parts: KeyParts, files: dict[str, bytes]) -> Manifest:
    built = store.begin(parts.stage)
    for name, data in files.items():
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_bytes(data)

    def describe(digest, entries):
        return Manifest(
            stage=parts.stage, key=parts.key, key_parts=parts, files=entries, digest=digest, metrics={},
            headline="", figures=(), notes={}, machine={}, git_commit="", libraries={}, created_at="",
        )  # fmt: skip

    with store.lock(parts.stage, parts.key):
        return store.publish(built, describe)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def test_published_artifact_is_found_and_its_digest_comes_from_contents(store: ArtifactStore) -> None:
    first = publish(store, parts_of("a", seed=1), {"x/one.txt": b"1", "two.txt": b"2"})
    second = publish(store, parts_of("a", seed=2), {"x/one.txt": b"1", "two.txt": b"2"})
    assert first.key != second.key
    assert first.digest == second.digest
    found, damage = store.find("a", first.key)
    assert found == first
    assert damage == []
    assert not list((store.root / "tmp").iterdir())


@pytest.mark.parametrize("same_size", [True, False])
def test_changed_byte_is_named(store: ArtifactStore, same_size: bool) -> None:
    manifest = publish(store, parts_of("a"), {"one.txt": b"12345"})
    path = store.path(manifest.ref) / "one.txt"
    path.write_bytes(b"12346" if same_size else b"1")
    assert store.find("a", manifest.key) == (None, ["file corrupted: one.txt"])


def test_deleted_file_is_named(store: ArtifactStore) -> None:
    manifest = publish(store, parts_of("a"), {"one.txt": b"12345"})
    (store.path(manifest.ref) / "one.txt").unlink()
    assert store.find("a", manifest.key) == (None, ["file missing: one.txt"])


def test_touched_but_equal_file_is_whole_and_fast_again(store: ArtifactStore) -> None:
    manifest = publish(store, parts_of("a"), {"one.txt": b"12345"})
    folder = store.path(manifest.ref)
    os.utime(folder / "one.txt", ns=(1, 1))
    assert find_damage(folder, manifest) == []
    assert (folder / "one.txt").stat().st_mtime_ns == manifest.files["one.txt"].mtime_ns


def test_full_verification_sees_what_size_and_time_hide(store: ArtifactStore) -> None:
    manifest = publish(store, parts_of("a"), {"one.txt": b"12345"})
    path = store.path(manifest.ref) / "one.txt"
    stat = path.stat()
    path.write_bytes(b"12346")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert find_damage(path.parent, manifest) == []
    assert store.verify(path.parent) == ["file corrupted: one.txt"]
    assert store.find("a", manifest.key) == (None, ["file corrupted: one.txt"])
    path.write_bytes(b"12345")
    assert store.find("a", manifest.key) == (manifest, [])


def test_manifest_of_another_format_and_garbage_are_told_apart(store: ArtifactStore) -> None:
    manifest = publish(store, parts_of("a"), {"one.txt": b"1"})
    path = store.path(manifest.ref) / "manifest.json"
    path.write_text('{"schema_version": 99}')
    with pytest.raises(SchemaVersionError, match="schema_version 1; found 99"):
        read_manifest(path.parent)
    path.write_text("{")
    with pytest.raises(ShardCorruptError, match="not a readable manifest"):
        read_manifest(path.parent)


def test_store_in_the_place_of_a_file_is_one_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageError, match="WORLDGEN_STORE"):
        ArtifactStore(blocked).begin("a")


def test_leftovers_of_dead_processes_are_cleared_and_live_ones_kept(store: ArtifactStore) -> None:
    mine = store.begin("a")
    dead = store.root / "tmp" / "a-999999999-xyz"
    dead.mkdir()
    store.clear_leftovers()
    assert mine.exists()
    assert not dead.exists()


def test_live_builds_are_known_without_a_proc_file_system(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = store.begin("a")
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: "/proc" not in str(path) and exists(path))
    store.clear_leftovers()
    assert mine.is_dir()


def test_resolve_by_stage_key_and_digest(store: ArtifactStore) -> None:
    first = publish(store, parts_of("a", seed=1), {"one.txt": b"1"})
    second = publish(store, parts_of("a", seed=2), {"one.txt": b"2"})
    os.utime(store.path(first.ref) / "manifest.json", (1, 1))
    assert store.resolve("a") == second
    assert store.resolve(f"a/{first.key[:8]}") == first
    assert store.resolve(first.digest[:10]) == first
    with pytest.raises(StorageError, match="0 that fit"):
        store.resolve("nothing")
    same = publish(store, parts_of("a", seed=3), {"one.txt": b"1"})
    assert same.digest == first.digest
    assert store.resolve(first.digest[:10]) == same


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_remote_store_gives_an_artifact_to_another_machine(tmp_path: Path, kind: str) -> None:
    url = f"memory://{tmp_path.name}" if kind == "memory" else f"file://{tmp_path}/remote"
    here = ArtifactStore(tmp_path / "here", remote=RemoteMirror(url))
    there = ArtifactStore(tmp_path / "there", remote=RemoteMirror(url))
    manifest = publish(here, parts_of("a"), {"x/one.txt": b"1"})
    found, damage = there.find("a", manifest.key)
    assert found == manifest
    assert damage == []
    assert (there.path(manifest.ref) / "x" / "one.txt").read_bytes() == b"1"
    assert there.find("a", "0" * 64) == (None, [])


def test_remote_url_without_driver_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        ArtifactStore(tmp_path, remote=RemoteMirror("nosuch://bucket")).find("a", "0" * 64)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[ArtifactStore, ArtifactStore, Path]:
    """Two machines with one remote store, and the folder of that."""
    mirror = RemoteMirror(f"file://{tmp_path}/remote")
    here, there = (ArtifactStore(tmp_path / name, remote=mirror) for name in ("here", "there"))
    return here, there, tmp_path / "remote" / "artifacts"


Pair = tuple[ArtifactStore, ArtifactStore, Path]


def test_failed_upload_stays_pending_until_it_succeeds(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, remote = pair
    with monkeypatch.context() as patch:
        patch.setattr("fsspec.implementations.local.LocalFileSystem.put_file", _no_network)
        with pytest.raises(TransientError, match="upload of"):
            publish(here, parts_of("a"), {"one.txt": b"1"})
    key = parts_of("a").key
    assert here.is_pending("a", key)
    assert there.find("a", key) == (None, [])
    here.push_pending("a", key)
    assert not here.is_pending("a", key)
    assert there.find("a", key)[0] == here.find("a", key)[0]
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.put_file", _no_network)
    here.push_pending("a", key)
    assert remote.is_dir()


def _no_network(*_arguments: object, **_options: object) -> None:
    raise ConnectionError("no network")


@pytest.mark.parametrize("rebuilt", [b"1", b"2"])
def test_rebuilt_artifact_replaces_the_remote_one(pair: Pair, rebuilt: bytes) -> None:
    here, there, remote = pair
    key = publish(here, parts_of("a"), {"one.txt": b"1"}).key
    (file,) = remote.rglob("one.txt")
    file.write_bytes(b"x")
    assert there.find("a", key) == (None, ["file corrupted: one.txt"])
    manifest = publish(there, parts_of("a"), {"one.txt": rebuilt})
    assert file.read_bytes() == rebuilt
    third = ArtifactStore(there.root.with_name("third"), remote=there.remote)
    assert third.find("a", key) == (manifest, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a readable manifest"),
        ('{"schema_version": 99}', "schema_version 1; found 99"),
        ("other", "another artifact's manifest"),
        ("outside", "1 wrong fields"),
    ],
)
def test_corrupt_remote_manifest_is_damage_that_a_build_replaces(pair: Pair, text: str, problem: str) -> None:
    here, there, remote = pair
    key = publish(here, parts_of("a"), {"one.txt": b"1"}).key
    (file,) = remote.rglob("manifest.json")
    if text == "other":
        text = file.read_text().replace(key, "0" * 64)
    elif text == "outside":
        text = file.read_text().replace("one.txt", "../one.txt")
    file.write_text(text)
    for found, damage in (there.look("a", key), there.find("a", key)):
        assert found is None
        assert problem in damage[0]
        assert str(file) in damage[0]
        assert "which replaces it" in damage[0]
        assert "tmp" not in damage[0].replace(str(remote), "")
    manifest = publish(there, parts_of("a"), {"one.txt": b"1"})
    third = ArtifactStore(there.root.with_name("third"), remote=there.remote)
    assert third.find("a", key) == (manifest, [])


def test_looking_reads_the_remote_manifest_and_writes_nothing(pair: Pair) -> None:
    here, there, remote = pair
    manifest = publish(here, parts_of("a"), {"one.txt": b"1"})
    next(remote.rglob("one.txt")).unlink()
    assert there.look("a", manifest.key) == (manifest, [])
    assert there.look("b", manifest.key) == (None, [])
    assert not there.root.exists()
    assert there.find("a", manifest.key) == (None, ["file missing: one.txt"])
    assert not list((there.root / "tmp").iterdir())


def champion_of(model: Manifest, when: str) -> Champion:
    return Champion(
        game="g", dataset_name="d", model=model.ref, report=model.ref, decision=model.ref, promoted_at=when
    )


def test_champion_moves_and_incumbent_stays_the_same_afterwards(store: ArtifactStore) -> None:
    first = publish(store, parts_of("m", seed=1), {"w": b"1"})
    second = publish(store, parts_of("m", seed=2), {"w": b"2"})
    assert incumbent_for(store.root, "g", "d", first.ref) is None
    promote(store.root, champion_of(first, "t1"))
    promote(store.root, champion_of(first, "t1"))
    assert incumbent_for(store.root, "g", "d", first.ref) is None
    before = incumbent_for(store.root, "g", "d", second.ref)
    promote(store.root, champion_of(second, "t2"))
    after = incumbent_for(store.root, "g", "d", second.ref)
    assert before is not None
    assert before == after
    assert before.model == first.ref
    champion = read_champion(store.root, "g", "d")
    assert champion is not None
    assert champion.model == second.ref
    assert len(read_history(store.root, "g", "d")) == 2


def test_a_champion_that_was_replaced_does_not_come_back_by_being_built_again(store: ArtifactStore) -> None:
    first, second = (publish(store, parts_of("m", seed=seed), {"w": bytes([seed])}) for seed in (1, 2))
    assert promote(store.root, champion_of(first, "t1"))
    assert promote(store.root, champion_of(second, "t2"))
    assert not promote(store.root, champion_of(first, "t3"))
    champion = read_champion(store.root, "g", "d")
    assert champion is not None
    assert champion.model == second.ref
    assert len(read_history(store.root, "g", "d")) == 2


def test_a_build_killed_between_history_and_pointer_is_mended(store: ArtifactStore) -> None:
    first, second = (publish(store, parts_of("m", seed=seed), {"w": bytes([seed])}) for seed in (1, 2))
    promote(store.root, champion_of(first, "t1"))
    pointer = store.root / "refs/g/d/champion.json"
    before = pointer.read_bytes()
    promote(store.root, champion_of(second, "t2"))
    pointer.write_bytes(before)
    assert promote(store.root, champion_of(second, "t2"))
    champion = read_champion(store.root, "g", "d")
    assert champion is not None
    assert champion.model == second.ref


def test_history_is_replaced_in_one_piece(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (publish(store, parts_of("m", seed=seed), {"w": bytes([seed])}) for seed in (1, 2))
    promote(store.root, champion_of(first, "t1"))
    path = store.root / "refs/g/d/history.jsonl"
    before = path.read_bytes()

    def power_cut(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        promote(store.root, champion_of(second, "t2"))
    assert path.read_bytes() == before


def test_a_torn_line_is_named_and_the_advice_keeps_the_rest_of_history(store: ArtifactStore) -> None:
    first, second = (publish(store, parts_of("m", seed=seed), {"w": bytes([seed])}) for seed in (1, 2))
    promote(store.root, champion_of(first, "t1"))
    promote(store.root, champion_of(second, "t2"))
    path = store.root / "refs/g/d/history.jsonl"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ShardCorruptError, match=r"history\.jsonl: line 2") as torn:
        read_history(store.root, "g", "d")
    subprocess.run(torn.value.next_step.split(": ", 1)[1], shell=True, check=True)
    assert [entry.model for entry in read_history(store.root, "g", "d")] == [first.ref]
    before = incumbent_for(store.root, "g", "d", second.ref)
    assert before is not None
    assert before.model == first.ref
    assert not promote(store.root, champion_of(first, "t3"))


def test_a_damaged_pointer_comes_back_from_history(store: ArtifactStore) -> None:
    first = publish(store, parts_of("m", seed=1), {"w": b"1"})
    promote(store.root, champion_of(first, "t1"))
    path = store.root / "refs/g/d/champion.json"
    path.write_bytes(b"\xff{")
    with pytest.raises(ShardCorruptError, match=r"champion\.json") as damaged:
        read_champion(store.root, "g", "d")
    subprocess.run(damaged.value.next_step.split(": ", 1)[1], shell=True, check=True)
    champion = read_champion(store.root, "g", "d")
    assert champion is not None
    assert champion.model == first.ref


def test_garbage_spares_champions_recent_builds_and_their_inputs(store: ArtifactStore) -> None:
    data = publish(store, parts_of("data"), {"d": b"d"})
    used = publish(store, parts_of("model", inputs={"data": data.digest}, seed=1), {"m": b"1"})
    loose = publish(store, parts_of("model", inputs={"data": data.digest}, seed=2), {"m": b"2"})
    recent = publish(store, parts_of("model", seed=3), {"m": b"3"})
    promote(store.root, champion_of(used, "t"))
    for number, manifest in enumerate([loose, recent]):
        record = BuildRecord(build_id=f"{number}", recipe="r", variant="v", stages=(manifest.ref,))
        write_build(store.root, record)
    garbage = find_garbage(store, kept_builds=1)
    assert [item.digest for item in garbage.artifacts] == [loose.digest]
    assert store.find("model", loose.key)[0] == loose
    collect_garbage(store, garbage)
    assert store.find("model", loose.key) == (None, [])
    assert {item.digest for item in store.manifests()} == {data.digest, used.digest, recent.digest}
    assert [build.build_id for build in read_builds(store.root)] == ["1"]
    assert [(depth, item.stage) for depth, item in lineage(store, used)] == [(0, "model"), (1, "data")]


def test_full_disk_under_a_lock_is_one_clear_error(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(StorageError, match=r"cannot write to .*a\.lock"), hold_lock(store.root / "a.lock"):
        pass


def leave_work(store: ArtifactStore, stage: str, *, days_ago: float) -> Path:
    """Units of a build, last changed some days ago."""
    folder = store.resume_folder(stage, "0" * 64)
    (folder / "unit-1").write_bytes(b"x" * 2_000_000)
    changed = time.time() - days_ago * 24 * 3600
    for path in (folder / "unit-1", folder):
        os.utime(path, (changed, changed))
    return folder


def test_old_work_that_no_build_holds_is_garbage(store: ArtifactStore) -> None:
    old = leave_work(store, "old", days_ago=8)
    recent = leave_work(store, "recent", days_ago=6)
    held = leave_work(store, "held", days_ago=8)
    with store.lock("held", "0" * 64):
        garbage = find_garbage(store)
        assert garbage.work == (old,)
        assert garbage.size_bytes == 2_000_000
    assert find_garbage(store, kept_work_days=1.0).work == (held, old, recent)
    with store.lock("old", "0" * 64):
        collect_garbage(store, garbage)
        assert old.exists(), "a build that went on in the meantime keeps its work"
    collect_garbage(store, garbage)
    assert [path for path in (old, recent, held) if path.exists()] == [recent, held]


def test_a_file_that_changed_lately_keeps_its_whole_work_folder(store: ArtifactStore) -> None:
    folder = leave_work(store, "a", days_ago=8)
    os.utime(folder / "unit-1")
    assert find_garbage(store).work == ()
