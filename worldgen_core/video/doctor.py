"""`worldgen doctor`: is this folder of videos and action files usable, and what will become of it?

Looks at every video exactly as the stage `slice_video` does, and writes nothing into the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from worldgen_core.errors import VideoError
from worldgen_core.games.catalogue import get_facts
from worldgen_core.video.decoding import decode
from worldgen_core.video.inspection import Inspection, inspect_video
from worldgen_core.video.labels import HeldKeys, Labels
from worldgen_core.video.source_settings import SourceSettings
from worldgen_core.video.worker import DecodeWorker

NUM_THUMBNAILS = 8
THUMBNAIL_HEIGHT = 90


@dataclass(frozen=True, eq=False)
class Examined:
    """One video: what was found, and pictures of it."""

    found: Inspection
    action_names: tuple[str, ...]
    thumbnails: tuple[UInt8[np.ndarray, "h w c"], ...]

    @property
    def action(self) -> Int64[np.ndarray, " t"]:
        """The action of every picture; empty where labels and video could not be brought together."""
        aligned = self.found.aligned
        return aligned.action if aligned else np.empty(0, np.int64)


def examine(
    settings: SourceSettings, *, on_frame: Callable[[int, int], None] = lambda _done, _total: None
) -> Examined:
    """Look at one video of a folder; never raises for what is wrong with it."""
    game, folder = get_facts(settings.game), settings.folder or Path()
    with DecodeWorker(settings.slices.limits.decode) as worker:
        found = inspect_video(settings, folder, game, worker=worker, on_frame=on_frame)
        return Examined(found, game.action_names, _thumbnails(found, worker))


def _thumbnails(found: Inspection, worker: DecodeWorker) -> tuple[UInt8[np.ndarray, "h w c"], ...]:
    facts = found.facts
    if facts is None:
        return ()
    wanted = np.unique(np.linspace(0, facts.num_demuxed - 1, NUM_THUMBNAILS).astype(np.int64))
    size = (THUMBNAIL_HEIGHT, max(round(THUMBNAIL_HEIGHT * facts.width / facts.height), 1))
    try:
        return tuple(picture.frame for picture in decode(facts, wanted, size, worker=worker))
    except VideoError:
        return ()  # the inspection has told already that the video cannot be decoded


def report(examined: list[Examined]) -> dict[str, Any]:
    """Everything as JSON values: `{"videos": [{"name", "frames_decoded", …, "problems"}], "episodes"}`."""
    videos = [describe(one) for one in examined]
    return {"videos": videos, "episodes": sum(video["episodes"] for video in videos)}


def is_usable(report: dict[str, Any]) -> bool:
    """Whether every video gives an episode and has no problem."""
    return bool(report["videos"]) and all(
        video["episodes"] and not video["problems"] for video in report["videos"]
    )


def describe(one: Examined) -> dict[str, Any]:
    """One video as JSON values; what was not reached is null."""
    found = one.found
    facts, scenes, offset = found.facts, found.scenes, found.offset
    kinds = [stretch.kind for stretch in scenes.stretches] if scenes else []
    return {
        "name": found.source,
        "container": facts.container if facts else None,
        "codec": facts.codec if facts else None,
        "width": facts.width if facts else None,
        "height": facts.height if facts else None,
        "rotation": facts.rotation if facts else None,
        "fps": round(facts.fps, 4) if facts else None,
        "is_constant_rate": facts.is_constant_rate if facts else None,
        "duration_s": _duration_s(found),
        "size_bytes": facts.size_bytes if facts else None,
        "frames_demuxed": facts.num_demuxed if facts else 0,
        "frames_decoded": found.decoded.num_decoded if found.decoded else 0,
        "actions": _num_actions(found.labels),
        "action_counts": _balance(one),
        "crop": list(found.box) if found.box else None,
        "offset": found.judgement.message if found.judgement else None,
        "offset_lag_frames": offset.lag if offset else None,
        "offset_confidence": round(offset.confidence, 3) if offset else None,
        "duplicates": int(scenes.is_duplicate.sum()) if scenes else 0,
        "frozen": kinds.count("frozen"),
        "black": kinds.count("black"),
        "cuts": kinds.count("cut"),
        "pictures": len(one.action),
        "kept": sum(span.num_frames for span in found.spans),
        "dropped": dict(found.dropped),
        "episodes": len(found.spans),
        "notes": [*(facts.problems if facts else ()), *(found.labels.origin.notes if found.labels else ())],
        "problems": problems(found),
    }


def problems(found: Inspection) -> list[str]:
    """What keeps the video, or parts of it, from being used, in sentences."""
    said = [str(found.problem)] if found.problem is not None else []
    decoded = found.decoded
    if decoded and (decoded.missing or decoded.corrupt):
        lost, last = len(decoded.missing), decoded.num_wanted - 1
        said.append(f"{lost} frames cannot be decoded and {len(decoded.corrupt)} are corrupt, of 0 to {last}")
    if found.problem is None and not found.spans:
        said.append(
            "no stretch is long enough for an episode: record longer, or take shorter ones "
            "(--set slices.episode_frames=N)"
        )
    return said


def _num_actions(labels: Labels | None) -> int:
    """Labelled frames, or changes of the held keys where labels have times."""
    if labels is None:
        return 0
    return len(labels.action) if isinstance(labels, HeldKeys) else labels.num_frames


def _duration_s(found: Inspection) -> float | None:
    facts = found.facts
    if facts is None:
        return None
    span = float((int(facts.pts[-1]) - int(facts.pts[0])) * facts.time_base)
    return round(span + 1 / facts.fps, 3)


def _balance(one: Examined) -> dict[str, int]:
    counts = np.bincount(one.action, minlength=len(one.action_names))
    return {name: int(count) for name, count in zip(one.action_names, counts, strict=True) if count}
