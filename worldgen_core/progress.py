"""The progress protocol: core code calls a `Progress` with typed events and never imports a progress bar.

Adapters live where the output lives: the console bar and Prefect's progress artifact in `tasks/progress.py`,
`EventList` for tests here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class ProgressEvent:
    """`done` of `total` units of `label` are finished.

    `metrics` are small figures worth showing while the work runs, such as the current loss. `rate_per_s` is
    in units a second, or None while unknown.
    """

    label: str
    done: int
    total: int
    rate_per_s: float | None = None
    metrics: Mapping[str, float | int] = field(default_factory=dict[str, float | int])

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the current rate, or None while the rate is unknown."""
        return None if not self.rate_per_s else (self.total - self.done) / self.rate_per_s


@runtime_checkable
class Progress(Protocol):
    """Anything that takes progress events."""

    def __call__(self, event: ProgressEvent, /) -> None:
        """Take one event; called often, so it must return fast."""
        ...


def silent(_event: ProgressEvent) -> None:
    """Show nothing."""


class EventList:
    """Keeps every event, for tests."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []

    def __call__(self, event: ProgressEvent) -> None:
        """Keep the event."""
        self.events.append(event)
