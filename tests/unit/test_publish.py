"""Artifacts outside a run: nothing is created, no server is asked. Inside: integration/test_publish.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from storage.manifest import FileEntry, KeyParts, Manifest
from tasks import publish
from tasks.publish import PlanRow, Summary, SummaryRow, artifact_key, format_bytes, format_seconds


def make_manifest(**changes: Any) -> Manifest:
    parts = KeyParts(stage="train_agent", code={}, settings={}, inputs={}, packages={})
    values: dict[str, Any] = {
        "stage": "train_agent",
        "key": parts.key,
        "key_parts": parts,
        "files": {"policy.safetensors": FileEntry(size_bytes=1234, sha256="0" * 64, mtime_ns=0)},
        "digest": "abcdef0123456789" * 4,
        "metrics": {"survivors": 28, "scores": {"mean": 20.123456}},
        "headline": "28 of 30 survive",
        "figures": (),
        "notes": {"seconds": 14.0},
        "machine": {},
        "git_commit": "f308912",
        "libraries": {},
        "created_at": "2026-11-22T17:00:00+00:00",
    }
    return Manifest(**(values | changes))


def test_nothing_is_created_outside_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_client(**_: object) -> None:
        raise AssertionError("asked a server")

    monkeypatch.setattr(publish, "get_client", no_client)
    assert publish.publish_plan("flappy", [PlanRow("train_agent", "stale", ["never built"])]) is None
    assert publish.publish_stage(make_manifest(), tmp_path) is None
    assert publish.publish_card("flappy", "# card", {"lost": tmp_path / "missing.png"}) is None
    assert publish.publish_summary(Summary("flappy", [SummaryRow("train_agent", "built", 3.0)])) is None
    assert publish.open_progress("train", "starting") is None


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any, str]]:
    """What would be sent, as (kind, name, data, description), as if inside a run."""
    calls: list[tuple[str, str, Any, str]] = []
    monkeypatch.setattr(publish, "current_run", lambda: publish.RunIds(None, None))
    monkeypatch.setattr(publish, "_create", lambda *call: calls.append(call))
    return calls


def test_plan_table_has_stage_state_reasons(created: list[tuple[str, str, Any, str]]) -> None:
    rows = [PlanRow("train_agent", "fresh"), PlanRow("capture", "stale", ["capture.episodes 2 → 3", "b"])]
    publish.publish_plan("build-flappy", rows)
    publish.publish_plan("build-pokemon", rows, about="footage in data/town")
    assert created[1][3] == "1 of 2 stages to run; footage in data/town"
    kind, name, data, description = created[0]
    assert (kind, name, description) == ("table", "build-flappy-plan", "1 of 2 stages to run")
    assert json.loads(data) == [
        {"stage": "train_agent", "state": "fresh", "reasons": ""},
        {"stage": "capture", "state": "stale", "reasons": "capture.episodes 2 → 3; b"},
    ]


def test_stage_page_tells_figures_notes_and_digest(
    created: list[tuple[str, str, Any, str]], tmp_path: Path
) -> None:
    publish.publish_stage(make_manifest(), tmp_path)
    kind, name, data, description = created[0]
    assert (kind, name, description) == ("markdown", "train_agent", "28 of 30 survive")
    assert "| scores.mean | 20.12 |" in data
    assert "| seconds * | 14 |" in data
    assert "`abcdef0123456789`" in data


def test_summary_escapes_bars_in_cells(created: list[tuple[str, str, Any, str]]) -> None:
    row = SummaryRow("evaluate", "built", 65.0, "truth | dream")
    publish.publish_summary(Summary("flappy", [row], {"UI": "http://x"}, ["worldgen sample flappy"]))
    data = created[0][2]
    assert "| evaluate | built | 1 min 05 s | truth \\| dream |" in data
    assert "- UI: http://x" in data
    assert "    worldgen sample flappy" in data


@pytest.mark.parametrize(
    ("name", "key"), [("train_agent", "train-agent"), ("Capture: 3/4", "capture-3-4"), ("--a--", "a")]
)
def test_artifact_keys_are_what_prefect_accepts(name: str, key: str) -> None:
    assert artifact_key(name) == key


def test_durations_and_sizes_read_well() -> None:
    values = [0.44, 12.2, 59.7, 185, 3725, None]
    expected = ["0.4 s", "12 s", "1 min 00 s", "3 min 05 s", "1 h 02 min", ""]
    assert [format_seconds(value) for value in values] == expected
    assert [format_bytes(size) for size in (512, 1500, 21_000_000, 3 * 10**9)] == [
        "512 B",
        "1.5 kB",
        "21 MB",
        "3 GB",
    ]
