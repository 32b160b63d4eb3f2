"""Which footage a recipe works on: a folder of one's own, or the sample that worldgen records itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from storage.errors import WorldgenError
from storage.location import project_root
from worldgen_core.errors import ConfigError
from worldgen_core.video.sample_settings import SampleSettings
from worldgen_core.video.settings import SliceSettings
from worldgen_core.video.source_settings import SourceProblem, SourceSettings
from worldgen_core.video.sources import VIDEO_ENDINGS, Source, find_sources, source_digests

AUTO = "auto"
SAMPLE_GAME = "overworld"
SAMPLE_NAME = "sample"


@dataclass(frozen=True)
class Footage:
    """Where the videos are. `folder` is None for the sample, which a stage of the recipe records."""

    folder: Path | None
    game: str
    dataset_name: str

    @property
    def description(self) -> str:
        """For plans and logs."""
        return f"footage in {self.folder}" if self.folder else "the overworld sample, recorded here"


def choose_footage(game: str, data: str) -> Footage:
    """What `data` means: a folder, or `auto`, the folder data/GAME if it holds videos, else the sample.

    Raises: ConfigError for a folder that is not there.
    """
    if data != AUTO:
        return _own(game, Path(data).expanduser())
    usual = project_root() / "data" / game
    if usual.is_dir() and any(path.suffix.lower() in VIDEO_ENDINGS for path in usual.iterdir()):
        return _own(game, usual)
    return Footage(None, SAMPLE_GAME, SAMPLE_NAME)


def _own(game: str, folder: Path) -> Footage:
    if not folder.is_dir():
        raise ConfigError(
            "data",
            expected="a folder with videos and their action files, or auto",
            found=f"{folder}, which is no folder",
            next_step="correct the path; or `worldgen make-sample DIR` records one to look at",
        )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.") or "default"
    return Footage(folder.resolve(), game, name)


def resolve_sources(
    footage: Footage, slices: SliceSettings, sample: SampleSettings
) -> tuple[SourceSettings, ...]:
    """One entry a video, with the digests of its files.

    Raises: ConfigError for a folder without videos, or a wrong worldgen.yaml.
    """
    if footage.folder is None:
        return tuple(_sampled(f"town-{index}", slices) for index in range(1, sample.num_videos + 1))
    found = find_sources(footage.folder)
    if not found.sources:
        raise ConfigError(
            f"the folder {footage.folder}",
            expected=f"videos ({', '.join(VIDEO_ENDINGS)}) with action files beside them",
            found="no video",
            next_step="add some; `worldgen make-sample DIR` shows what a usable folder looks like",
        )
    return tuple(_resolved(source, slices) for source in found.sources)


def _sampled(name: str, slices: SliceSettings) -> SourceSettings:
    return SourceSettings(
        game=slices.game,
        source=name,
        video=f"{name}.mp4",
        labels=f"{name}.txt",
        slices=slices,
    )


def _resolved(source: Source, slices: SliceSettings) -> SourceSettings:
    """A source as the stage reads it; what is wrong with its files is the stage's to tell."""
    labels = source.labels
    video_name = str(source.video.relative_to(source.folder))
    labels_name = None if labels is None else str(labels.relative_to(source.folder))
    digests: dict[str, str] = {}
    problem: SourceProblem | None = None
    try:
        if source.problem is not None:
            raise source.problem
        found = source_digests(source)
        digests = {f"video {video_name}": found.video, f"labels {labels_name}": str(found.labels)}
    except WorldgenError as error:
        problem = SourceProblem(
            what=error.what, expected=error.expected, found=error.found, next_step=error.next_step
        )
    return SourceSettings(
        game=slices.game,
        source=source.name,
        video=video_name,
        labels=labels_name,
        problem=problem,
        folder=source.folder,
        digests=digests,
        slices=source.settings(slices),
    )
