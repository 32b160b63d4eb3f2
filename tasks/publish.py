"""What a person sees in the Prefect UI: the only module that creates Prefect artifacts.

Takes plain data and folders. Outside a run (unit tests, a script) there is nothing to attach an artifact to:
every function then returns None, without asking any server. Inside a run an error is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.context import FlowRunContext, TaskRunContext

from storage.manifest import Manifest
from tasks.pictures import data_url

MAX_PICTURES = 4


@dataclass(frozen=True)
class PlanRow:
    """One line of a plan."""

    stage: str
    state: str
    reasons: Sequence[str] = ()


@dataclass(frozen=True)
class SummaryRow:
    """One line of a finished build."""

    stage: str
    state: str
    seconds: float | None
    headline: str = ""


@dataclass(frozen=True)
class Summary:
    """The end of a build: what each stage did, where things are, and what to type next."""

    recipe: str
    rows: Sequence[SummaryRow]
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    next_commands: Sequence[str] = ()
    pictures: Mapping[str, Path] = field(default_factory=dict[str, Path])


@dataclass(frozen=True)
class RunIds:
    """The run that an artifact belongs to."""

    flow_run: UUID | None
    task_run: UUID | None


def current_run() -> RunIds | None:
    """Return the flow and task run this code runs in, or None outside any run."""
    task = TaskRunContext.get()
    flow = FlowRunContext.get()
    if task is not None:
        return RunIds(flow_run=task.task_run.flow_run_id, task_run=task.task_run.id)
    if flow is not None and flow.flow_run is not None:
        return RunIds(flow_run=flow.flow_run.id, task_run=None)
    return None


def publish_plan(recipe: str, rows: Sequence[PlanRow], *, about: str = "") -> UUID | None:
    """Show which stages are fresh and which will run, and why; `about` says on what."""
    table = [{"stage": row.stage, "state": row.state, "reasons": "; ".join(row.reasons)} for row in rows]
    num_stale = sum(row.state == "stale" for row in rows)
    description = f"{num_stale} of {len(rows)} stages to run" + (f"; {about}" if about else "")
    return _create("table", f"{recipe}-plan", json.dumps(table), description)


def publish_stage(manifest: Manifest, folder: Path) -> UUID | None:
    """Show what a stage made: counts, timings, digest and its pictures, from the manifest alone."""
    if current_run() is None:
        return None
    rows = {
        "digest": f"`{manifest.digest[:16]}`",
        "files": f"{len(manifest.files)} ({format_bytes(manifest.size_bytes)})",
        **{name: _format(value) for name, value in _flat(manifest.metrics).items()},
        **{f"{name} *": _format(value) for name, value in _flat(manifest.notes).items()},
    }
    pictures = {name: folder / name for name in manifest.figures}
    parts = [
        f"# {manifest.stage}",
        manifest.headline,
        _markdown_table(("", manifest.stage), list(rows.items())),
        "\\* differs from run to run and does not count into the digest" if manifest.notes else "",
        f"Made {manifest.created_at}, commit `{manifest.git_commit[:12]}`, in `{folder}`",
        *_markdown_pictures(pictures),
    ]
    return _create("markdown", manifest.stage, _join(parts), manifest.headline)


def publish_card(name: str, markdown: str, pictures: Mapping[str, Path] | None = None) -> UUID | None:
    """Show a model card, with pictures below it."""
    if current_run() is None:
        return None
    return _create("markdown", f"{name}-card", _join([markdown, *_markdown_pictures(pictures or {})]), name)


def publish_summary(summary: Summary) -> UUID | None:
    """Show the end of a build as the terminal shows it, with its pictures."""
    if current_run() is None:
        return None
    rows = [(row.stage, row.state, format_seconds(row.seconds), row.headline) for row in summary.rows]
    parts = [
        f"# {summary.recipe}",
        _markdown_table(("stage", "state", "time", "key figure"), rows),
        *_markdown_pictures(summary.pictures),
        *(f"- {what}: {where}" for what, where in summary.places.items()),
        "Next:" if summary.next_commands else "",
        *(f"    {command}" for command in summary.next_commands),
    ]
    return _create("markdown", f"{summary.recipe}-summary", _join(parts), "what this build did")


class ProgressArtifact:
    """A percentage with a line of text that moves while work runs; usable from any thread once created."""

    def __init__(self, artifact: UUID, client: SyncPrefectClient) -> None:
        self._artifact = artifact
        self._client = client

    def update(self, percent: float, description: str) -> None:
        """Move the bar and replace the text."""
        bounded = min(100.0, max(0.0, percent))
        self._client.update_artifact(self._artifact, ArtifactUpdate(data=bounded, description=description))

    def close(self) -> None:
        """Close the connection; the artifact stays."""
        self._client.__exit__()


def open_progress(name: str, description: str) -> ProgressArtifact | None:
    """Create a progress artifact at 0 % in the current run; None outside any run."""
    artifact = _create("progress", f"{name}-progress", 0.0, description)
    return None if artifact is None else ProgressArtifact(artifact, get_client(sync_client=True).__enter__())


def _create(kind: str, name: str, data: str | float, description: str) -> UUID | None:
    run = current_run()
    if run is None:
        return None
    request = ArtifactCreate(
        type=kind,
        key=artifact_key(name),
        data=data,
        description=description or None,
        flow_run_id=run.flow_run,
        task_run_id=run.task_run,
    )
    with get_client(sync_client=True) as client:
        return client.create_artifact(request).id


def artifact_key(name: str) -> str:
    """Return `name` in the only form Prefect accepts: lower case letters, numbers and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def format_seconds(seconds: float | None) -> str:
    """Return a duration as a person says it: `0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_bytes(size: int) -> str:
    """Return a size as a person says it: `512 B`, `1.5 kB`, `21 MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _markdown_pictures(pictures: Mapping[str, Path]) -> list[str]:
    shown = list(pictures.items())[:MAX_PICTURES]
    return [f"**{caption}**\n\n![{caption}]({data_url(path)})" for caption, path in shown]


def _join(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested values by their path."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _format(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[object]", value)
        return f"{len(items)} values" if len(items) > 6 else ", ".join(_format(item) for item in items)
    return str(value)
