"""Everything that is known of one video and its labels before a single episode is cut from it.

The data doctor shows it, the stage that slices acts on it. What is wrong with a video is kept in `problem`
and ends its inspection there; the other videos go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from storage.errors import WorldgenError
from worldgen_core.errors import AlignmentError, ConfigError, LabelError, VideoError
from worldgen_core.games.base import GameFacts
from worldgen_core.video.alignment import Aligned, align, frame_actions
from worldgen_core.video.decoding import Size, decode, decode_all
from worldgen_core.video.episode_plan import Span, plan_episodes
from worldgen_core.video.formats.read import read_labels
from worldgen_core.video.judgement import OffsetJudgement, judge, with_evidence
from worldgen_core.video.keymap import make_keymap
from worldgen_core.video.labels import Labels
from worldgen_core.video.letterbox import crop_box, sample_indices
from worldgen_core.video.offset import OffsetEstimate, estimate_offset
from worldgen_core.video.probing import probe
from worldgen_core.video.records import Box, DecodeReport, VideoFacts
from worldgen_core.video.scenes import Scenes, SceneScanner
from worldgen_core.video.settings import SliceSettings
from worldgen_core.video.source_settings import SourceSettings
from worldgen_core.video.usable import usable_pictures
from worldgen_core.video.worker import DecodeWorker

MOVEMENT_NAMES = ("up", "down", "left", "right")


@dataclass
class Inspection:
    """What was found, as far as it was looked at before a problem ended it."""

    source: str
    facts: VideoFacts | None = None
    labels: Labels | None = None
    box: Box | None = None
    """The part of the picture that is kept; None for the whole."""
    scenes: Scenes | None = None
    decoded: DecodeReport | None = None
    offset: OffsetEstimate | None = None
    judgement: OffsetJudgement | None = None
    aligned: Aligned | None = None
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    """Pictures that no episode may hold, by reason."""
    spans: tuple[Span, ...] = ()
    problem: WorldgenError | None = None
    """Why the video cannot be used."""


def inspect_video(
    settings: SourceSettings,
    folder: Path,
    game: GameFacts,
    *,
    worker: DecodeWorker,
    on_frame: Callable[[int, int], None] = lambda _done, _total: None,
) -> Inspection:
    """Look at everything; never raises for what is wrong with the video or its labels.

    `on_frame` is told how many frames of how many have been decoded.
    """
    found = Inspection(settings.source)
    try:
        _inspect(found, settings, folder, game, worker, on_frame)
    except (VideoError, LabelError, AlignmentError, ConfigError) as problem:
        found.problem = problem
    return found


def _inspect(
    found: Inspection,
    settings: SourceSettings,
    folder: Path,
    game: GameFacts,
    worker: DecodeWorker,
    on_frame: Callable[[int, int], None],
) -> None:
    slices, name = settings.slices, settings.source
    if settings.problem is not None:
        raise VideoError(**settings.problem.model_dump())
    facts = found.facts = probe(folder / settings.video, folder=folder, worker=worker)
    labels = found.labels = read_source_labels(settings, folder, game)
    found.box = _find_box(facts, slices, worker)
    scanner = SceneScanner(facts.num_demuxed, slices.scenes)
    pictures = decode_all(
        facts,
        signal_size(facts, found.box, slices),
        crop=found.box,
        deinterlace=slices.deinterlace,
        worker=worker,
    )
    for picture in pictures:
        scanner.add(picture.index, picture.frame[:, :, 0])
        on_frame(picture.index + 1, facts.num_demuxed)
    found.decoded = pictures.report
    movement = movement_actions(game)
    action = frame_actions(facts.pts, facts.time_base, labels, slices, name=name)
    scenes = found.scenes = scanner.finish(np.isin(action, movement))
    found.offset = estimate_offset(scenes.motion, action, movement=movement)
    found.judgement = judge(found.offset, slices, fps=facts.fps)
    found.aligned = _align(found, facts, labels, slices)
    usable, found.dropped = usable_pictures(found.aligned, facts, scenes, pictures.report, slices)
    found.spans = tuple(plan_episodes(usable, slices, source=name))


def movement_actions(game: GameFacts) -> tuple[int, ...]:
    """Actions that set the picture in motion: the four directions where a game has them, else all but 0."""
    named = tuple(i for i, name in enumerate(game.action_names) if name in MOVEMENT_NAMES)
    return named or tuple(range(1, len(game.action_names)))


def signal_size(facts: VideoFacts, box: Box | None, slices: SliceSettings) -> Size:
    """Height and width of the small gray pictures in which scenes are looked for."""
    width, height = (box.width, box.height) if box else (facts.width, facts.height)
    rows = min(slices.scenes.signal_height, height)
    return rows, max(round(rows * width / height), 1)


def read_source_labels(settings: SourceSettings, folder: Path, game: GameFacts) -> Labels:
    """Read the labels of one video.

    Raises: LabelError.
    """
    if settings.labels is None:
        raise ValueError(f"{settings.source} has neither labels nor a problem")
    slices = settings.slices
    return read_labels(
        folder / settings.labels,
        make_keymap(game.action_names, game.keymap, slices.keymap),
        slices.label_format,
        folder=folder,
        time_unit=slices.time_unit,
        ignores_unknown=slices.unknown_keys == "ignore",
        max_bytes=slices.limits.label_mib * 2**20,
    )


def _find_box(facts: VideoFacts, slices: SliceSettings, worker: DecodeWorker) -> Box | None:
    indices: Int64[np.ndarray, " k"] = np.empty(0, np.int64)
    if slices.crop.mode == "auto":
        indices = np.unique(sample_indices(facts.num_demuxed, slices.crop))
    pictures = decode(facts, indices, (facts.height, facts.width), worker=worker)
    return crop_box((picture.frame for picture in pictures), facts.width, facts.height, slices.crop)


def _align(found: Inspection, facts: VideoFacts, labels: Labels, slices: SliceSettings) -> Aligned:
    """Frames and actions, unless lengths or the onsets of motion say that they do not belong together."""
    judgement = found.judgement
    try:
        aligned = align(facts.pts, facts.time_base, labels, slices, name=found.source)
    except AlignmentError as problem:
        raise (with_evidence(problem, judgement) if judgement else problem) from None
    if judgement is not None and judgement.is_problem:
        raise AlignmentError(
            found.source,
            expected="motion that follows the keys",
            found=judgement.message,
            next_step=judgement.next_step or "leave the video out: worldgen.yaml, ignore: true",
        )
    return aligned
