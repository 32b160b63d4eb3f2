"""Build records: which artifacts each run used, to explain staleness and to guide garbage collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.atomic import write_json
from storage.manifest import ArtifactRef


class BuildRecord(BaseModel):
    """One run of a recipe, as far as it got."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    build_id: str
    """Sorts by time: UTC date and time, then the process id."""
    recipe: str
    variant: str
    """What tells builds of one recipe apart: profile and model."""
    stages: tuple[ArtifactRef, ...]


def write_build(root: Path, record: BuildRecord) -> None:
    """Write or replace one record."""
    write_json(build_path(root, record.build_id), record.model_dump(mode="json"))


def build_path(root: Path, build_id: str) -> Path:
    """Where a build's record lies."""
    return root / "builds" / f"{build_id}.json"


def read_builds(root: Path, *, recipe: str | None = None) -> list[BuildRecord]:
    """All records, newest first; an unreadable one is passed over (records explain, they decide nothing)."""
    records: list[BuildRecord] = []
    for path in sorted((root / "builds").glob("*.json"), reverse=True):
        try:
            raw: Any = json.loads(path.read_text())
            record = BuildRecord.model_validate(raw)
        except (ValueError, ValidationError):
            continue
        if recipe is None or record.recipe == recipe:
            records.append(record)
    return records


def split_builds(root: Path, kept: int) -> tuple[list[BuildRecord], list[BuildRecord]]:
    """All records, newest first, in two lists: the newest `kept` of each recipe and variant, and the rest."""
    counts: dict[tuple[str, str], int] = {}
    recent: list[BuildRecord] = []
    old: list[BuildRecord] = []
    for record in read_builds(root):
        kind = (record.recipe, record.variant)
        counts[kind] = counts.get(kind, 0) + 1
        (recent if counts[kind] <= kept else old).append(record)
    return recent, old
