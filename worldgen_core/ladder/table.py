"""The ladder as a table: what was counted, timed and weighed of every rung, beside its quality.

Nothing is measured here. A frame's time in one round is the sum of its runs in that round, and a ratio is
taken within a round, so that a machine which slows down for a while changes neither much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict

from worldgen_core.ladder.settings import LadderSettings, Rung


class Quality(BaseModel):
    """What a trained model's dream is worth, or why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    figures: dict[str, float | int | None] = {}
    """Metrics of stage `ladder_quality`; empty if nothing was measured."""
    model: str = ""
    """The artifact that was played."""
    missing: str = ""
    """Why nothing was measured, and the command that changes it."""


class Line(BaseModel):
    """One rung, as it is shown; None is what was not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rung: Rung
    """What it is."""
    evaluations: dict[str, int]
    """Runs of each network that a frame takes."""
    frame: tuple[int, int] | None
    """Height and width of its frames."""
    num_parameters: int | None
    """Of the networks that a frame runs."""
    weights_bytes: int | None
    """Of those weights in the rung's precision."""
    flops: int | None
    """Of one frame."""
    seconds_a_frame: float | None
    """Median over the rounds."""
    ratio: float | None
    """Frames a second over those of the first rung, median over the rounds."""
    is_scaled: bool
    """Whether part of that was timed on smaller pictures and scaled by its operations."""
    memory_bytes: int | None
    """Most that weights and one frame take."""
    is_memory_counted: bool
    """Whether that was worked out and not measured."""
    failure: str
    """Why it cannot run on this device; empty if it can."""
    quality: dict[str, Quality]
    """By game."""

    @property
    def frames_per_s(self) -> float | None:
        """Of one core, or of the device."""
        return None if self.seconds_a_frame is None else 1 / self.seconds_a_frame


def make_table(
    settings: LadderSettings,
    facts: Sequence[Mapping[str, Any]],
    notes: Mapping[str, Any],
    quality: Mapping[str, Mapping[str, Quality]],
) -> list[Line]:
    """Join facts and notes of stage `ladder_speed` with the quality of each rung, by game."""
    by_rung = {fact["rung"]: fact for fact in facts}
    first = frame_seconds(settings.rungs[0], notes)
    return [
        _line(rung, by_rung[rung.name], notes, first, quality.get(rung.name, {})) for rung in settings.rungs
    ]


def _line(
    rung: Rung,
    fact: Mapping[str, Any],
    notes: Mapping[str, Any],
    first: Sequence[float],
    quality: Mapping[str, Quality],
) -> Line:
    own = frame_seconds(rung, notes)
    measured = notes["memory_bytes"].get(rung.name)
    scaled = set(notes["scaled"])
    return Line(
        rung=rung,
        evaluations=fact["evaluations"],
        frame=fact["frame"],
        num_parameters=fact["num_parameters"],
        weights_bytes=fact["weights_bytes"],
        flops=fact["flops"],
        seconds_a_frame=median(own) if own else None,
        ratio=median(a / b for a, b in zip(first, own, strict=False)) if own and first else None,
        is_scaled=any(name in scaled for name, _ in notes["uses"].get(rung.name, [])),
        memory_bytes=fact["memory_bytes"] if measured is None else measured,
        is_memory_counted=measured is None,
        failure=notes["failures"].get(rung.name, ""),
        quality=dict(quality),
    )


def frame_seconds(rung: Rung, notes: Mapping[str, Any]) -> list[float]:
    """Seconds of a frame in each round in which all of its pieces were timed."""
    uses = notes["uses"].get(rung.name, [])
    rounds = zip(*(notes["piece_seconds"][name] for name, _ in uses), strict=False) if uses else ()
    return [sum(n * t for (_, n), t in zip(uses, times, strict=True)) for times in rounds]


HEAD = ("rung", "runs", "params", "size", "memory", "frames/s", "times")


def cells_of(line: Line) -> tuple[str, ...]:
    """A line's cells under HEAD, as a person reads them."""
    counted, scaled = "≈" if line.is_memory_counted else "", "~" if line.is_scaled else ""
    rate = line.frames_per_s
    return (
        ("  " if line.rung.is_aside else "") + line.rung.name,
        "+".join(str(count) for name, count in line.evaluations.items() if name in _NETWORKS) or "-",
        _short(line.num_parameters, 1e6, "M"),
        _short(line.weights_bytes, 1e6, " MB"),
        counted + _short(line.memory_bytes, 1e6, " MB") if line.memory_bytes else "-",
        "cannot run here" if line.failure else "-" if rate is None else f"{scaled}{rate:.3g}",
        "-" if line.ratio is None else f"{line.ratio:.2f}" if line.ratio < 10 else f"{line.ratio:.0f}",
    )


def quality_cells(quality: Quality | None) -> tuple[str, str]:
    """Criteria passed, and the gain in PSNR after 16 frames."""
    if quality is None:
        return "-", "-"
    if not quality.figures:
        return "not trained", ""
    figures, gain = quality.figures, quality.figures["psnr_gain_db_16"]
    passed = f"{figures['num_passed']} of {figures['num_criteria']}"
    return passed, "-" if gain is None else f"{gain:+.1f} dB"


def as_markdown(lines: Sequence[Line], games: Sequence[str]) -> str:
    """The table for a report, with a note on its signs."""
    head = [*HEAD, *(word for game in games for word in (f"{game}: criteria", f"{game}: PSNR gain"))]
    rows = [
        [*cells_of(line), *(cell for game in games for cell in quality_cells(line.quality.get(game)))]
        for line in lines
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
    return "\n\n".join([table, LEGEND, *missing(lines)]) + "\n"


def missing(lines: Sequence[Line]) -> list[str]:
    """What cannot run here and what is not trained, each said once."""
    said = [f"{line.rung.name} cannot run here: {line.failure}" for line in lines if line.failure]
    said += [found.missing for line in lines for found in line.quality.values() if found.missing]
    return list(dict.fromkeys(said))


LEGEND = (
    "Speed, memory and size: networks of the published sizes with random weights, 320x240 frames (laptop: the"
    " game's own), one image at a time; a frame is its runs added up. ~ timed on smaller pictures and scaled"
    " by the operations; ≈ counted, not measured. An indented rung stands beside the ladder: the next goes"
    " on from the one before. Quality: the trained laptop sizes, played as the rung says; PSNR gain: over"
    " copying the last frame, after 16 frames."
)
_NETWORKS = ("denoiser", "upsampler", "regressor")


def _short(value: float | int | None, unit: float, name: str) -> str:
    if value is None:
        return "-"
    return f"{value / unit:.3g}{name}" if value < 1000 * unit else f"{value / unit:.0f}{name}"
