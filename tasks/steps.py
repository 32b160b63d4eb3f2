"""A recipe calls each stage through a `Steps`: `Runner` runs it, `Planner` only says what would run.

One list of stages serves both, so a plan cannot differ from the build it describes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel

from storage.artifacts import ArtifactStore
from storage.builds import BuildRecord, read_builds, write_build
from storage.errors import StorageError
from storage.manifest import ArtifactRef, KeyParts, Manifest, read_manifest
from tasks.stage import Stage
from tasks.staleness import explain, find_predecessor
from worldgen_core.errors import ConfigError

Freshness = Literal["fresh", "stale", "not needed"]


class Steps(Protocol):
    """What a recipe is written against."""

    def __call__(
        self, stage: Stage[Any], settings: BaseModel, /, **inputs: ArtifactRef | None
    ) -> ArtifactRef:
        """Run (or plan) a stage on upstream artifacts; inputs that are None are left out."""
        ...

    def each(
        self, stage: Stage[Any], units: Mapping[str, BaseModel], /, **inputs: ArtifactRef | None
    ) -> dict[str, ArtifactRef]:
        """Run (or plan) a stage once a unit, side by side; `units` maps their names to settings."""
        ...

    def not_needed(self, stage: Stage[Any], reason: str) -> None:
        """Name a stage that this variant of the recipe goes without."""
        ...


@dataclass(frozen=True)
class PlannedStage:
    """One line of a plan. `key` is None while it depends on something that has yet to be made."""

    stage: str
    state: Freshness
    reasons: tuple[str, ...]
    key: str | None = None
    unit: str = ""
    """Which unit, where a stage is called once a unit."""


@dataclass(frozen=True)
class RunStage:
    """One line of a build's summary."""

    stage: str
    state: str
    """`built`, `cached` or `not needed`."""
    seconds: float
    manifest: Manifest | None = None
    reason: str = ""
    unit: str = ""


class Planner:
    """Walks a recipe without running or writing anything."""

    def __init__(
        self, store: ArtifactStore, earlier: Sequence[ArtifactRef], forced: Sequence[str] = ()
    ) -> None:
        self.store = store
        self.earlier = earlier
        self.forced = forced
        self.stages: list[PlannedStage] = []
        self._unbuilt: set[str] = set()

    def __call__(
        self, stage: Stage[Any], settings: BaseModel, /, **inputs: ArtifactRef | None
    ) -> ArtifactRef:
        """Look at one stage; a stale one yields a reference that nothing is published under."""
        given = {name: ref for name, ref in inputs.items() if ref is not None}
        waiting = [
            f"input: {name} is to be made by {ref.stage}" for name, ref in given.items() if not ref.digest
        ]
        parts = stage.key_parts(settings, given)
        if waiting:
            return self._add(stage, parts, [*self._differences(stage, parts, waiting_for=given), *waiting])
        manifest, damage = self.store.look(stage.name, parts.key)
        if manifest is None:
            reasons = damage or self._differences(stage, parts) or ["never built"]
            return self._add(stage, parts, reasons, promised=self._promised(parts) if damage else "")
        if stage.name in self.forced:
            return self._add(stage, parts, ["forced"], promised=manifest.digest)
        self.stages.append(PlannedStage(stage.name, "fresh", (), parts.key))
        return manifest.ref

    def each(
        self, stage: Stage[Any], units: Mapping[str, BaseModel], /, **inputs: ArtifactRef | None
    ) -> dict[str, ArtifactRef]:
        """Look at a stage once a unit."""
        refs: dict[str, ArtifactRef] = {}
        for unit, settings in units.items():
            refs[unit] = self(stage, settings, **inputs)
            self.stages[-1] = replace(self.stages[-1], unit=unit)
        return refs

    def not_needed(self, stage: Stage[Any], reason: str) -> None:
        """Note a stage that this variant goes without."""
        self.stages.append(PlannedStage(stage.name, "not needed", (reason,)))

    def _add(
        self, stage: Stage[Any], parts: KeyParts, reasons: list[str], *, promised: str = ""
    ) -> ArtifactRef:
        self.stages.append(PlannedStage(stage.name, "stale", tuple(reasons), parts.key))
        return ArtifactRef(stage=stage.name, key=parts.key, digest=promised)

    def _promised(self, parts: KeyParts) -> str:
        """A damaged artifact comes back with the bytes its manifest promises, if that is readable."""
        try:
            manifest = read_manifest(self.store.folder(parts.stage, parts.key))
        except StorageError:
            return ""
        return manifest.digest if manifest else ""

    def _differences(
        self, stage: Stage[Any], parts: KeyParts, waiting_for: Mapping[str, ArtifactRef] | None = None
    ) -> list[str]:
        before = find_predecessor(self.store, parts, self.earlier)
        if before is None:
            return ["never built"]
        old = before.key_parts
        if waiting_for is not None:
            # Inputs under way are named separately; comparing their missing digests would say it twice.
            old, parts = (item.model_copy(update={"inputs": {}}) for item in (old, parts))
        return explain(old, parts, section=stage.section)


class Runner:
    """Runs a recipe's stages, keeps a build record, and remembers what the summary will show."""

    def __init__(
        self,
        store: ArtifactStore,
        *,
        recipe: str,
        variant: str,
        forced: Sequence[str] = (),
        on_stage: Callable[[RunStage], None] | None = None,
        task_runner: Callable[[], TaskRunner[Any]] = ThreadPoolTaskRunner,
    ) -> None:
        self.store = store
        self.forced = forced
        self.done: list[RunStage] = []
        self._task_runner = task_runner
        self._on_stage = on_stage
        self._record = BuildRecord(
            build_id=f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}",
            recipe=recipe,
            variant=variant,
            stages=(),
        )

    def __call__(
        self, stage: Stage[Any], settings: BaseModel, /, **inputs: ArtifactRef | None
    ) -> ArtifactRef:
        """Run one stage or find it cached; a failure comes out as the stage's own exception."""
        given = {name: ref for name, ref in inputs.items() if ref is not None}
        started = time.perf_counter()
        state = stage.run(settings, given, force=stage.name in self.forced)
        return self._note(stage, state, time.perf_counter() - started)

    def each(
        self, stage: Stage[Any], units: Mapping[str, BaseModel], /, **inputs: ArtifactRef | None
    ) -> dict[str, ArtifactRef]:
        """Run a stage once a unit in the task runner; all of them end before a failure comes out."""
        given = {name: ref for name, ref in inputs.items() if ref is not None}
        with self._task_runner() as runner:
            futures = {
                unit: stage.submit(settings, given, runner=runner, unit=unit, force=stage.name in self.forced)
                for unit, settings in units.items()
            }
            wait(list(futures.values()))
            states = {unit: future.state for unit, future in futures.items()}
        return {unit: self._note(stage, state, None, unit=unit) for unit, state in states.items()}

    def not_needed(self, stage: Stage[Any], reason: str) -> None:
        """Note a stage that this variant goes without."""
        self._finish(RunStage(stage.name, "not needed", 0.0, reason=reason))

    def _note(
        self, stage: Stage[Any], state: State[ArtifactRef], seconds: float | None, *, unit: str = ""
    ) -> ArtifactRef:
        """Remember a finished stage; without `seconds` its manifest says how long the work took."""
        ref = state.result()
        name, manifest = "cached" if state.name == "Cached" else "built", self.store.manifest(ref)
        if seconds is None:
            seconds = float(manifest.notes["seconds"]) if name == "built" else 0.0
        self._finish(RunStage(stage.name, name, seconds, manifest, unit=unit))
        self._record = self._record.model_copy(update={"stages": (*self._record.stages, ref)})
        write_build(self.store.root, self._record)
        return ref

    def _finish(self, line: RunStage) -> None:
        self.done.append(line)
        if self._on_stage is not None:
            self._on_stage(line)


def earlier_refs(store: ArtifactStore, recipe: str, variant: str) -> list[ArtifactRef]:
    """What earlier builds used, the most telling first: this variant's newest, then the recipe's."""
    builds = read_builds(store.root, recipe=recipe)
    ordered = sorted(builds, key=lambda build: build.variant != variant)
    return [ref for build in ordered for ref in build.stages]


def check_forced(forced: Sequence[str], known: Sequence[str]) -> None:
    """Raise ConfigError for a stage name that the recipe does not have."""
    for name in forced:
        if name not in known:
            raise ConfigError(
                f"--force {name}",
                expected=f"one of {', '.join(known)}",
                found=repr(name),
                next_step="worldgen plan GAME lists the stages",
            )
