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
    write_json(root / "builds" / f"{record.build_id}.json", record.model_dump(mode="json"))


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
