"""What a stage's core function hands back besides the files it wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """Figures of a finished stage.

    `metrics` are reproducible results and count as part of what was made (JSON values only). `notes` are what
    differs from run to run, such as timings; they stay outside the artifact's digest. `headline` is the one
    figure the summary shows. `figures` names picture files (PNG, GIF) in the output folder worth showing a
    person, best first.
    """

    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])
    headline: str = ""
    figures: tuple[str, ...] = ()
