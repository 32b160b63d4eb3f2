"""What the processes of one training tell each other through files: the job, how it goes, how it ended.

The folder lies beside the checkpoints, so that processes on other machines find it in the same store.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from storage.atomic import replacing_path
from storage.errors import WorldgenError
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent

JOB_FILE = "job.json"
OUTCOME_FILE = "outcome.json"
_EVENTS_FILE = "events.jsonl"
_EVERY_S = 0.1
"""Progress events of one label pass on no more often than this."""
_OWN_FIELDS = set(vars(logging.makeLogRecord({}))) | {"message"}


@dataclass(frozen=True)
class Job:
    """A training as its processes are told it: a function, its settings, and folders."""

    function: str
    """`module:name` of a function (settings, *folders, out=, resume=, progress=) -> Outcome."""
    settings_class: str
    """`module:name`."""
    settings_json: str
    folders: list[str | None]
    out: str
    resume: str

    def write(self, folder: Path) -> Path:
        """Write it into a folder that holds nothing else yet, and return the file."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return _write_json(folder / JOB_FILE, asdict(self))

    @staticmethod
    def read(path: Path) -> Job:
        """Read what `write` wrote."""
        return Job(**json.loads(path.read_text(encoding="utf-8")))

    @property
    def settings(self) -> Any:
        """The settings, as the function takes them."""
        kind: type[BaseModel] = _named(self.settings_class)
        return kind.model_validate_json(self.settings_json)

    def run(self, *, out: Path, progress: Progress) -> Outcome:
        """Call the function."""
        function: Callable[..., Outcome] = _named(self.function)
        folders = [None if folder is None else Path(folder) for folder in self.folders]
        return function(self.settings, *folders, out=out, resume=Path(self.resume), progress=progress)


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return vars(import_module(module))[attribute]


def name_of(thing: Any) -> str:
    """`module:name` of a function or class of a module."""
    return f"{thing.__module__}:{thing.__qualname__}"


def _write_json(path: Path, content: Any) -> Path:
    with replacing_path(path) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")
    return path


class Sender(logging.Handler):
    """Writes the progress events and the warnings of one process down for `Receiver`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.WARNING)
        self._file = (folder / _EVENTS_FILE).open("a", encoding="utf-8")
        self._last: tuple[str, float] = ("", 0.0)

    def progress(self, event: ProgressEvent) -> None:
        """Pass an event on, unless the last one of its label is very young."""
        now = time.monotonic()
        if event.label == self._last[0] and now - self._last[1] < _EVERY_S and event.done < event.total:
            return
        self._last = event.label, now
        self._write({"event": asdict(event)})

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a warning on, with its fields."""
        fields = {name: str(value) for name, value in vars(record).items() if name not in _OWN_FIELDS}
        log = {"name": record.name, "level": record.levelno, "message": record.getMessage()}
        self._write({"log": log | {"fields": fields}})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class Receiver:
    """Reads what a `Sender` writes, as it comes."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._path, self._progress, self._offset = folder / _EVENTS_FILE, progress, 0

    def pass_on(self) -> None:
        """Hand on everything that is new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _half = file.read().rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            self._hand_on(json.loads(line))

    def _hand_on(self, line: dict[str, Any]) -> None:
        if "event" in line:
            self._progress(ProgressEvent(**line["event"]))
            return
        log = line["log"]
        logging.getLogger(log["name"]).log(log["level"], log["message"], extra=log["fields"])


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Leave what the function returned."""
    _write_json(folder / OUTCOME_FILE, asdict(outcome))


def read_outcome(folder: Path) -> Outcome | None:
    """What the function returned, or None if it did not."""
    path = folder / OUTCOME_FILE
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return Outcome(**content | {"figures": tuple(content["figures"])})


def write_error(folder: Path, rank: str, error: Exception) -> None:
    """Leave what went wrong in one process."""
    content: dict[str, Any] = {"time": time.time(), "kind": type(error).__name__}
    content["traceback"] = traceback.format_exc()
    if isinstance(error, WorldgenError):
        content["facts"] = [error.what, error.expected, error.found, error.next_step]
    _write_json(folder / f"error-{rank}.json", content)


def read_error(folder: Path) -> WorldgenError | None:
    """What went wrong first, as the error that it was; None if no process could say.

    When one process fails, the others fail at their next sum, so an error that worldgen knows comes before
    any other.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("error-*.json")]
    if not found:
        return None
    first = min(found, key=lambda content: ("facts" not in content, content["time"]))
    if "facts" in first:
        what, expected, known, next_step = first["facts"]
        kind = {kind.__name__: kind for kind in _error_kinds(WorldgenError)}.get(first["kind"], WorldgenError)
        error = kind(what, expected=expected, found=known, next_step=next_step)
    else:
        error = WorldgenError(
            "a process of the training",
            expected="no error",
            found=first["traceback"].strip().splitlines()[-1],
            next_step=f"read what the processes wrote in {folder}, then run the same command again",
        )
    error.add_note(first["traceback"])
    return error


def _error_kinds(kind: type[WorldgenError]) -> list[type[WorldgenError]]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in _error_kinds(sub))]
