"""Where progress events go: a bar or plain lines on the console, an artifact in the Prefect UI, or both.

Events may come often and from any thread; each adapter limits its own rate. The last event of a label is
never held back.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import TextIO

import httpx
from prefect.exceptions import PrefectHTTPStatusError
from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress

from tasks.publish import ProgressArtifact, format_seconds, open_progress
from worldgen_core.progress import Progress, ProgressEvent

logger = logging.getLogger(__name__)

LINE_EVERY_S = 10.0
ARTIFACT_EVERY_S = 2.0
PAUSE_AFTER_ERROR_S = 60.0

Clock = Callable[[], float]


@contextmanager
def stage_progress(name: str, *, console: TextIO | None = None) -> Generator[Progress]:
    """Show a stage's progress on the console and, inside a run, in the Prefect UI."""
    with ExitStack() as stack:
        shown = stack.enter_context(console_progress(name, stream=console))
        published = ArtifactProgress(name)
        stack.callback(published.close)
        yield FanOut(shown, published)


class FanOut:
    """Hands every event to several adapters."""

    def __init__(self, *targets: Progress) -> None:
        self._targets = targets

    def __call__(self, event: ProgressEvent) -> None:
        """Hand the event on."""
        for target in self._targets:
            target(event)


@contextmanager
def console_progress(name: str, *, stream: TextIO | None = None) -> Generator[Progress]:
    """Show progress on `stream` (default: standard error): a bar on a terminal, else a line now and then."""
    target = stream or sys.stderr
    console = Console(file=target)
    if not console.is_terminal:
        yield LineProgress(name, target)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.fields[remaining]}"),
    )
    with RichProgress(*columns, console=console, transient=True) as bars:
        yield BarProgress(name, bars)


class BarProgress:
    """A bar a label, with the remaining time that the event itself gives."""

    def __init__(self, name: str, bars: RichProgress) -> None:
        self._name = name
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: ProgressEvent) -> None:
        """Move the label's bar."""
        if event.label not in self._tasks:
            title = f"{self._name}: {event.label}"
            self._tasks[event.label] = self._bars.add_task(title, total=event.total, remaining="")
        self._bars.update(
            self._tasks[event.label],
            completed=event.done,
            total=event.total,
            remaining=_remaining(event),
        )


class LineProgress:
    """A line of text now and then, for logs and pipes."""

    def __init__(self, name: str, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._name = name
        self._stream = stream
        self._rate = _RateLimit(LINE_EVERY_S, clock)

    def __call__(self, event: ProgressEvent) -> None:
        """Write a line, unless the last one is younger than ten seconds."""
        if self._rate.passes(event):
            self._stream.write(f"{self._name}: {describe(event)}\n")
            self._stream.flush()


class ArtifactProgress:
    """A progress artifact a label in the current run; outside a run it does nothing.

    A server that does not answer must not cost a night's training: such an error is logged and the artifact
    left alone for a minute.
    """

    def __init__(self, name: str, *, clock: Clock = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        # Events come from threads too, and only this one knows which run it is in.
        self._run = copy_context()
        self._rate = _RateLimit(ARTIFACT_EVERY_S, clock)
        self._artifacts: dict[str, ProgressArtifact | None] = {}
        self._paused_until = float("-inf")

    def __call__(self, event: ProgressEvent) -> None:
        """Update the label's artifact, unless the last update is younger than two seconds."""
        if self._clock() < self._paused_until or not self._rate.passes(event):
            return
        try:
            self._update(event)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            self._paused_until = self._clock() + PAUSE_AFTER_ERROR_S
            logger.warning("progress artifact not updated", extra={"stage": self._name, "reason": str(error)})

    def _update(self, event: ProgressEvent) -> None:
        text = f"{self._name}: {describe(event)}"
        if event.label not in self._artifacts:
            name = f"{self._name}-{event.label}"
            self._artifacts[event.label] = self._run.copy().run(open_progress, name, text)
        artifact = self._artifacts[event.label]
        if artifact is not None:
            artifact.update(100.0 * event.done / max(1, event.total), text)

    def close(self) -> None:
        """Close the connections to the server."""
        for artifact in self._artifacts.values():
            if artifact is not None:
                artifact.close()


@dataclass
class _RateLimit:
    """Lets the first event of each label pass, its last one, and no more than one in `every_s` between."""

    every_s: float
    clock: Clock
    label: str | None = None
    last: float = 0.0
    finished: bool = False

    def passes(self, event: ProgressEvent) -> bool:
        now = self.clock()
        is_new = event.label != self.label
        is_end = event.done >= event.total and not self.finished
        if not (is_new or is_end or now - self.last >= self.every_s):
            return False
        self.label, self.last, self.finished = event.label, now, event.done >= event.total
        return True


def describe(event: ProgressEvent) -> str:
    """Return an event as one line: `training 1200/3000, 3.2/s, 9 min 22 s left, loss 0.012`."""
    parts = [f"{event.label} {event.done}/{event.total}"]
    if event.rate_per_s:
        parts.append(f"{event.rate_per_s:.3g}/s")
    if event.done < event.total and (remaining := _remaining(event)):
        parts.append(remaining)
    parts += [f"{name} {value:.4g}" for name, value in event.metrics.items()]
    return ", ".join(parts)


def _remaining(event: ProgressEvent) -> str:
    return "" if event.remaining_s is None else f"{format_seconds(event.remaining_s)} left"
