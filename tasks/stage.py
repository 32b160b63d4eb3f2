"""The one decorator that makes a function a stage: a Prefect task whose cache is our own store of artifacts.

The manifest is the truth, and Prefect's record a projection of it: the cache policy computes the key of
`tasks/staleness.py`, looks whether a whole artifact lies under it, and writes or drops Prefect's record
accordingly. So the Prefect UI shows `Cached` exactly when work was saved, also for an artifact that another
machine built.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture
from prefect.results import get_result_store
from prefect.task_runners import TaskRunner
from pydantic import BaseModel

from storage.artifacts import ArtifactStore
from storage.atomic import disk_errors
from storage.errors import TransientError
from storage.location import open_store
from storage.manifest import ArtifactRef, FileEntry, KeyParts, Manifest
from tasks.progress import stage_progress
from tasks.provenance import describe_machine, git_commit, library_versions
from tasks.publish import publish_stage
from tasks.slots import device_slot
from tasks.staleness import make_key_parts
from worldgen_core.neutral import settings_in_key
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=BaseModel)

_key_failure: ContextVar[tuple[UUID, Exception] | None] = ContextVar("key_failure", default=None)


@dataclass(frozen=True)
class Workspace:
    """Where a stage's body reads and writes."""

    inputs: Mapping[str, Path]
    """Folders of the upstream artifacts, by name."""
    out: Path
    """An empty folder; what is in it when the body returns becomes the artifact."""
    resume: Path
    """A folder for units and checkpoints that outlives a killed run of the same key."""
    progress: Progress


@dataclass(frozen=True)
class Stage(Generic[S]):
    """A stage: a body that makes files, and the declaration of what its bytes depend on."""

    name: str
    section: str
    body: Callable[[S, Workspace], Outcome]
    core: Callable[[S], tuple[str, ...]]
    packages: tuple[str, ...] | Callable[[S], tuple[str, ...]]
    user_files: Callable[[S], Mapping[str, str]]
    code_root: Path | None = None

    def key_parts(self, settings: S, inputs: Mapping[str, ArtifactRef]) -> KeyParts:
        """Everything that could change this stage's bytes for these settings and inputs."""
        return make_key_parts(
            self.name,
            core=self.core(settings),
            settings=settings_in_key(settings),
            inputs={name: ref.digest for name, ref in inputs.items()} | dict(self.user_files(settings)),
            packages=self.packages(settings) if callable(self.packages) else self.packages,
            code_root=self.code_root,
        )

    def run(
        self, settings: S, inputs: Mapping[str, ArtifactRef], *, force: bool = False
    ) -> State[ArtifactRef]:
        """Run as a Prefect task; the state holds the reference, and says `Cached` where it was there."""
        return _as_task(self)(settings, dict(inputs), force, return_state=True)

    def submit(
        self,
        settings: S,
        inputs: Mapping[str, ArtifactRef],
        *,
        runner: TaskRunner[Any],
        unit: str,
        force: bool,
    ) -> PrefectFuture[ArtifactRef]:
        """The same in a task runner, side by side with others; `unit` names this run in the UI."""
        prefect_task = _as_task(self).with_options(task_run_name=f"{self.name} {unit}")
        parameters = {"settings": settings, "inputs": dict(inputs), "force": force}
        return runner.submit(prefect_task, parameters)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process by name: what a stage is made of are functions of modules there."""
        return _stage_of, (self.body.__module__, self.name)


class StageDecorator(Protocol):
    """Makes a body a stage of the same settings."""

    def __call__(self, body: Callable[[S, Workspace], Outcome], /) -> Stage[S]:
        """Return the stage."""
        ...


def _no_user_files(_settings: Any) -> Mapping[str, str]:
    return {}


def stage(
    *,
    section: str,
    core: tuple[str, ...] | Callable[[Any], tuple[str, ...]],
    packages: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = (),
    user_files: Callable[[Any], Mapping[str, str]] = _no_user_files,
    code_root: Path | None = None,
) -> StageDecorator:
    """Make a function `(settings, workspace) -> Outcome` a stage named like the function.

    `core` names the modules whose code the bytes depend on, as a tuple or as a function of the settings (a
    chosen game or model); imports are followed from there, below `code_root`, the checkout by default.
    `packages` are the libraries that the bytes depend on, given likewise; `user_files` maps names of files
    outside of the store to their content digests. `section` is where the settings sit in the config, for
    messages.
    """
    declared = core

    def core_of(settings: Any) -> tuple[str, ...]:
        return declared(settings) if callable(declared) else declared

    def decorate(body: Callable[[S, Workspace], Outcome]) -> Stage[S]:
        return Stage(
            name=body.__name__,
            section=section,
            body=body,
            core=core_of,
            packages=packages,
            user_files=user_files,
            code_root=code_root,
        )

    return decorate


def _stage_of(module: str, name: str) -> Stage[Any]:
    found: Stage[Any] = vars(importlib.import_module(module))[name]
    return found


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry only what a retry may cure."""
    return isinstance(state.data, TransientError) or "TransientError" in (state.message or "")


@dataclass
class ManifestPolicy(CachePolicy):
    """Computes a stage's key and keeps Prefect's record in step with the artifact behind it."""

    stage: Any = None

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002  # Prefect's signature
        **_kwargs: Any,
    ) -> str | None:
        """Return the key; a whole artifact under it makes Prefect answer `Cached`, else the body runs.

        Prefect only logs an exception raised here and then runs the body, so the body raises it instead.
        """
        _key_failure.set(None)
        try:
            return self._project_record(inputs)
        except Exception as error:  # re-raised by the body, see above
            _key_failure.set((task_ctx.task_run.id, error))
            return None

    def _project_record(self, inputs: dict[str, Any]) -> str:
        parts = self.stage.key_parts(inputs["settings"], inputs["inputs"])
        store = open_store()
        records = get_result_store()
        with store.lock(parts.stage, parts.key, on_wait=_say_waiting(parts.stage)):
            manifest, _damage = store.find(parts.stage, parts.key)
            if manifest is not None and not inputs["force"]:
                store.push_pending(parts.stage, parts.key)
                records.write(manifest.ref, key=parts.key)
            else:
                (_record_folder() / parts.key).unlink(missing_ok=True)
        return parts.key


def _as_task(stage: Stage[Any]) -> Task[[Any, dict[str, ArtifactRef], bool], ArtifactRef]:
    def run_stage(settings: Any, inputs: dict[str, ArtifactRef], force: bool) -> ArtifactRef:
        return _run(stage, settings, inputs, force=force)

    made = task(
        name=stage.name,
        cache_policy=ManifestPolicy(stage=stage),
        persist_result=True,
        result_serializer="json",
        cache_result_in_memory=False,
        retries=2,
        retry_delay_seconds=[2, 10],
        retry_condition_fn=is_transient,
        result_storage=_record_folder(),
    )
    return made(run_stage)


def _run(stage: Stage[Any], settings: Any, inputs: Mapping[str, ArtifactRef], *, force: bool) -> ArtifactRef:
    """What the task does. A function of the module, so that a task that travels takes no globals along."""
    failure = _key_failure.get()
    if failure is not None:
        _key_failure.set(None)
        raise failure[1]
    with device_slot(settings):
        manifest = _build(stage, settings, inputs, force=force)
    publish_stage(manifest, open_store().path(manifest.ref))
    return manifest.ref


def _build(stage: Stage[Any], settings: Any, inputs: Mapping[str, ArtifactRef], *, force: bool) -> Manifest:
    """Make the artifact under its key's lock, unless somebody else has just done so."""
    store = open_store()
    parts = stage.key_parts(settings, inputs)
    with store.lock(stage.name, parts.key, on_wait=_say_waiting(stage.name)):
        manifest, damage = store.find(stage.name, parts.key)
        if manifest is not None and (not force or (_is_retry() and store.is_pending(stage.name, parts.key))):
            # A retry of a forced build whose upload failed has nothing left to do but upload.
            store.push_pending(stage.name, parts.key)
            return manifest
        for problem in damage:
            logger.warning("rebuilding a damaged artifact", extra={"stage": stage.name, "problem": problem})
        if force:
            shutil.rmtree(store.resume_folder(stage.name, parts.key), ignore_errors=True)
        return _build_locked(store, stage, settings, inputs, parts)


def _is_retry() -> bool:
    context = TaskRunContext.get()
    return context is not None and context.task_run.run_count > 1


def _build_locked(
    store: ArtifactStore,
    stage: Stage[Any],
    settings: Any,
    inputs: Mapping[str, ArtifactRef],
    parts: KeyParts,
) -> Manifest:
    out = store.begin(stage.name)
    started = time.perf_counter()
    try:
        with stage_progress(stage.name) as progress, disk_errors(out, also_blocked=False):
            workspace = Workspace(
                inputs={name: store.path(ref) for name, ref in inputs.items()},
                out=out,
                resume=store.resume_folder(stage.name, parts.key),
                progress=progress,
            )
            outcome = stage.body(settings, workspace)
        seconds = time.perf_counter() - started
        return store.publish(out, _describe(parts, outcome, seconds))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _describe(
    parts: KeyParts, outcome: Outcome, seconds: float
) -> Callable[[str, dict[str, FileEntry]], Manifest]:
    def describe(digest: str, files: dict[str, FileEntry]) -> Manifest:
        return Manifest(
            stage=parts.stage,
            key=parts.key,
            key_parts=parts,
            files=files,
            digest=digest,
            metrics=outcome.metrics,
            headline=outcome.headline,
            figures=outcome.figures,
            notes={**outcome.notes, "seconds": round(seconds, 2)},
            machine=describe_machine(),
            git_commit=git_commit(),
            libraries=library_versions(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    return describe


def _record_folder() -> Path:
    """Prefect's result records live beside the artifacts they mirror."""
    folder = open_store().root / "prefect-results"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _say_waiting(stage_name: str) -> Callable[[str], None]:
    def say(holder: str) -> None:
        logger.info("another build makes this stage: waiting", extra={"stage": stage_name, "holder": holder})

    return say
