"""Stages `slice_video` and `slice_videos`: labelled videos become episodes.

A unit is a video: `slice_video` writes a dataset of its own for each, with what was left out and why, and
`slice_videos` joins them. A video that cannot be used makes an artifact without episodes that says why, so
that it stops nobody but itself; the joining stage fails where too much is lost.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from storage.atomic import write_json
from storage.clips import ClipReader
from storage.records import DatasetInfo, Episode
from storage.shards import write_dataset
from worldgen_core.errors import ConfigError, VideoError
from worldgen_core.games.base import GameFacts
from worldgen_core.games.catalogue import get_facts
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, ProgressEvent
from worldgen_core.video.alignment import Aligned
from worldgen_core.video.decoding import decode
from worldgen_core.video.episode_plan import Span
from worldgen_core.video.inspection import Inspection, inspect_video
from worldgen_core.video.quarantine import QUARANTINE_FILE, draw_quarantine, quarantine
from worldgen_core.video.sample_pictures import SAMPLE_FILE, SampleStrip
from worldgen_core.video.settings import SliceSettings
from worldgen_core.video.source_settings import SourceSettings
from worldgen_core.video.worker import DecodeWorker

log = logging.getLogger(__name__)

SLICE_FILE = "slice.json"
_MESSAGE_EVERY = 200


def slice_video(settings: SourceSettings, folder: Path, *, out: Path, progress: Progress) -> Outcome:
    """Cut one video into episodes, as a dataset in `out`; its frames are decoded in another process.

    Writes slice.json in any case (what was found, what was left out and why), and the dataset, sample.png and
    quarantine.png where there is something to show.
    """
    started = time.monotonic()
    game, slices = get_facts(settings.game), settings.slices

    def on_frame(done: int, total: int) -> None:
        if done % _MESSAGE_EVERY == 0 or done == total:
            progress(ProgressEvent("frames looked at", done, total, done / (time.monotonic() - started)))

    with DecodeWorker(slices.limits.decode) as worker:
        found = inspect_video(settings, folder, game, worker=worker, on_frame=on_frame)
        figures = _write_episodes(found, game, slices, worker, out, progress) if found.spans else ()
        figures += (QUARANTINE_FILE,) if draw_quarantine(found, worker, out) else ()
    write_json(out / SLICE_FILE, facts := _facts(found, slices))
    if found.problem is not None:
        log.warning("a video is left out: %s", found.problem)
    metrics = {name: facts[name] for name in ("num_episodes", "num_pictures", "num_used", "dropped")}
    return Outcome(
        metrics=metrics,
        notes={"decode_s": round(time.monotonic() - started, 2)},
        headline=_headline(facts),
        figures=figures,
    )


def join_slices(settings: SliceSettings, parts: Mapping[str, Path], *, out: Path) -> Outcome:
    """Join the episodes of all videos into one dataset; `parts` maps videos to what `slice_video` wrote.

    Raises: ConfigError if no video gave an episode, or too large a part of the footage is unusable.
    """
    facts = {name: json.loads((folder / SLICE_FILE).read_text()) for name, folder in parts.items()}
    num_pictures = sum(part["num_pictures"] for part in facts.values())
    num_bad = sum(part["num_quarantined"] for part in facts.values())
    share = num_bad / num_pictures if num_pictures else 1.0
    num_episodes = sum(part["num_episodes"] for part in facts.values())
    if num_episodes == 0 or share > settings.max_quarantined_share:
        raise _too_little(settings, facts, num_episodes, share)
    game = get_facts(settings.game)
    usable = [parts[name] for name, part in facts.items() if part["num_episodes"]]
    write_dataset(out, _dataset_info(game, settings), _all_episodes(usable))
    report = {"videos": list(facts.values()), "quarantined_share": round(share, 4)}
    write_json(out / "report.json", report)
    metrics = {
        "num_videos": len(facts),
        "num_episodes": num_episodes,
        "num_frames": sum(part["num_used"] for part in facts.values()),
        "quarantined_share": round(share, 4),
    }
    headline = f"{num_episodes} episodes of {len(usable)} videos, {100 * share:.1f} % of the footage left out"
    return Outcome(metrics=metrics, headline=headline)


def _dataset_info(game: GameFacts, settings: SliceSettings) -> DatasetInfo:
    return DatasetInfo(
        game=game.name,
        name=settings.dataset_name,
        height=settings.height,
        width=settings.width,
        fps=float(settings.rate_exact),
        action_names=game.action_names,
        stage="slice_videos",
    )


def _all_episodes(folders: list[Path]) -> Iterator[Episode]:
    for folder in folders:
        reader = ClipReader(folder)
        for row in reader.episodes():
            yield reader.read_episode(row.episode_id)


def _write_episodes(
    found: Inspection,
    game: GameFacts,
    slices: SliceSettings,
    worker: DecodeWorker,
    out: Path,
    progress: Progress,
) -> tuple[str, ...]:
    strip = SampleStrip(game.action_names, len(found.spans))
    episodes = strip.watch(_episodes(found, slices, worker, progress))
    write_dataset(out, _dataset_info(game, slices), episodes)
    strip.write(out / SAMPLE_FILE)
    return (SAMPLE_FILE,)


def _episodes(
    found: Inspection, slices: SliceSettings, worker: DecodeWorker, progress: Progress
) -> Iterator[Episode]:
    aligned = found.aligned
    if aligned is None:
        return
    for index, span in enumerate(found.spans):
        yield _episode(found, aligned, span, index, slices, worker)
        progress(ProgressEvent("episodes", index + 1, len(found.spans)))


def _episode(
    found: Inspection, aligned: Aligned, span: Span, index: int, slices: SliceSettings, worker: DecodeWorker
) -> Episode:
    pictures = slice(span.first, span.end)
    source_frame = aligned.source_frame[pictures]
    truncated = np.zeros(span.num_frames, bool)
    truncated[-1] = True
    source = {"video": found.source, "first_tick": aligned.first_tick + span.first}
    return Episode(
        episode_id=f"{found.source}-{index:04d}",
        source=json.dumps(source, sort_keys=True),
        split=span.split,
        frames=_frames(found, source_frame, slices, worker),
        action=aligned.action[pictures],
        reward=np.zeros(span.num_frames, np.float32),
        terminated=np.zeros(span.num_frames, bool),
        truncated=truncated,
        pts=aligned.pts[pictures],
        source_frame=source_frame,
    )


def _frames(
    found: Inspection, source_frame: Int64[np.ndarray, " t"], slices: SliceSettings, worker: DecodeWorker
) -> UInt8[np.ndarray, "t h w c"]:
    """The pictures of one episode; a frame that is shown for longer is taken again."""
    facts = found.facts
    if facts is None:
        raise ValueError("a video without facts has no episodes")
    wanted, place = np.unique(source_frame, return_inverse=True)
    size = (slices.height, slices.width)
    frames = np.empty((len(wanted), *size, 3), np.uint8)
    decoding = decode(facts, wanted, size, crop=found.box, deinterlace=slices.deinterlace, worker=worker)
    num_decoded = 0
    for picture in decoding:
        frames[num_decoded] = picture.frame
        num_decoded += 1
    if num_decoded != len(wanted):
        raise VideoError(
            found.source,
            expected=f"{len(wanted)} frames that could be decoded when the video was looked at",
            found=f"{num_decoded}",
            next_step="the file changed meanwhile, or memory is short: run the build again",
        )
    return frames[place]


def _facts(found: Inspection, slices: SliceSettings) -> dict[str, Any]:
    """What slice.json says."""
    aligned, facts = found.aligned, found.facts
    num_pictures = len(aligned.source_frame) if aligned else 0
    num_used = sum(span.num_frames for span in found.spans)
    if found.problem is not None and facts is not None and not num_pictures:
        num_pictures = int(facts.num_demuxed * float(slices.rate_exact) / max(facts.fps, 1e-6))
    num_bad = num_pictures if found.problem is not None else sum(found.dropped.values())
    return {
        "name": found.source,
        "num_frames": facts.num_demuxed if facts else 0,
        "num_pictures": num_pictures,
        "num_used": num_used,
        "num_episodes": len(found.spans),
        "num_quarantined": num_bad,
        "dropped": dict(sorted(found.dropped.items())),
        "quarantine": quarantine(found),
        "offset": found.judgement.message if found.judgement else None,
        "notes": [*(facts.problems if facts else ()), *(found.decoded.notes if found.decoded else ())],
        "problem": None if found.problem is None else str(found.problem),
    }


def _headline(facts: dict[str, Any]) -> str:
    if facts["problem"] is not None:
        return f"left out: {facts['problem']}"
    kept = f"{facts['num_episodes']} episodes of {facts['num_pictures']:,} pictures"
    dropped = ", ".join(f"{count} {reason}" for reason, count in facts["dropped"].items())
    return f"{kept}; left out: {dropped}" if dropped else kept


def _too_little(
    settings: SliceSettings, facts: dict[str, dict[str, Any]], num_episodes: int, share: float
) -> ConfigError:
    problems = [part["problem"] for part in facts.values() if part["problem"]]
    found = f"{num_episodes} episodes, {100 * share:.0f} % left out"
    if problems:
        found += f"; {len(problems)} of {len(facts)} videos unusable, the first: {problems[0]}"
    return ConfigError(
        "the footage",
        expected=f"an episode of {settings.episode_frames} pictures, and at most "
        f"{100 * settings.max_quarantined_share:.0f} % of the footage left out",
        found=found,
        next_step="worldgen doctor DIR shows what is wrong; or lower slices.episode_frames, or raise "
        "slices.max_quarantined_share",
    )
