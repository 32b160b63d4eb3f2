"""A folder of videos and action files -> its sources, in the order of their names.

`NAME.mp4|mkv|webm|avi|mov` lies beside `NAME.txt|csv|jsonl` (taken in this order where there are several) or
`NAME.keys.csv`; `worldgen.yaml` says otherwise where it has to. Nothing is opened here but that file: what
is wrong with one source is kept in its `problem`, and the others go on. Files in folders below count only
where worldgen.yaml names them.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from storage.errors import WorldgenError
from worldgen_core.errors import ConfigError, LabelError
from worldgen_core.video.file_checks import SUFFIXES
from worldgen_core.video.folder_config import (
    FILE_NAME,
    FolderConfig,
    VideoDefaults,
    VideoOverrides,
    apply,
    read_config,
)
from worldgen_core.video.safe_files import check_file, sha256_file, shown
from worldgen_core.video.settings import SliceSettings

VIDEO_ENDINGS = tuple(SUFFIXES)
LABEL_ENDINGS = (".txt", ".csv", ".jsonl", ".keys.csv")
"""In the order in which they are preferred."""

_MAX_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Source:
    """One video with its labels, as far as they were found."""

    name: str
    folder: Path
    video: Path
    labels: Path | None
    defaults: VideoDefaults
    overrides: VideoOverrides
    problem: WorldgenError | None = None
    """Why it cannot be used, where that is known without opening it."""

    def settings(self, settings: SliceSettings) -> SliceSettings:
        """The stage's settings with what worldgen.yaml says of this video."""
        return apply(settings, self.defaults, self.overrides)


@dataclass(frozen=True, slots=True)
class SourceFolder:
    """Everything of a folder that matters."""

    folder: Path
    sources: tuple[Source, ...]
    ignored: tuple[str, ...]
    """Names that worldgen.yaml says to leave out."""
    unused: tuple[str, ...]
    """Label files that belong to no video, or that another one was preferred to."""


@dataclass(frozen=True, slots=True)
class SourceDigests:
    """SHA-256 of the contents, for staleness; None where there is no file."""

    video: str
    labels: str | None


def find_sources(folder: Path) -> SourceFolder:
    """Find the sources of a folder.

    Raises: ConfigError if there is no such folder, or if worldgen.yaml is wrong.
    """
    files = _list(folder)
    config = read_config(folder)
    videos = _videos(folder, files, config)
    sources = tuple(_source(folder, files, config, name, paths) for name, paths in sorted(videos.items()))
    used = {source.labels for source in sources}
    unused = [shown(path.name) for path in files if path not in used and _is_label(path)]
    ignored = tuple(sorted(name for name, entry in config.videos.items() if entry.ignore))
    return SourceFolder(folder, sources, ignored, tuple(unused))


def source_digests(source: Source) -> SourceDigests:
    """Digest the contents of a source's files.

    Raises: ConfigError or LabelError if one cannot be read.
    """
    labels = source.labels
    return SourceDigests(
        sha256_file(source.folder, source.video),
        None if labels is None else sha256_file(source.folder, labels, error=LabelError),
    )


def _list(folder: Path) -> list[Path]:
    """The files of the folder that are not hidden, by name."""
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as problem:
        raise ConfigError(
            "the folder of videos",
            expected="a folder that can be read",
            found=f"{shown(folder)}: {(problem.strerror or str(problem)).lower()}",
            next_step="name a folder with videos and their action files",
        ) from problem
    if len(found) > _MAX_FILES:
        raise ConfigError(
            "the folder of videos",
            expected=f"at most {_MAX_FILES} files",
            found=f"{len(found)} in {shown(folder)}",
            next_step="split the folder",
        )
    return found


def _videos(folder: Path, files: list[Path], config: FolderConfig) -> dict[str, list[Path]]:
    """Name -> its video files; more than one is a problem of that name."""
    given = {name: folder / entry.video for name, entry in config.videos.items() if entry.video}
    taken = set(given.values())
    videos = {name: [path] for name, path in given.items()}
    for path in files:
        if path.suffix.lower() in VIDEO_ENDINGS and path not in taken:
            videos.setdefault(shown(path.stem), []).append(path)
    for name, entry in config.videos.items():
        if entry.ignore:
            videos.pop(name, None)
        elif name not in videos:
            near = difflib.get_close_matches(name, list(videos), n=1, cutoff=0.5)
            raise ConfigError(
                f"{FILE_NAME}: videos.{name}",
                expected="the name of a video of the folder, without its ending",
                found="no video of that name",
                next_step=f"did you mean {near[0]}?" if near else f"name its file: videos.{name}.video",
            )
    return videos


def _source(folder: Path, files: list[Path], config: FolderConfig, name: str, videos: list[Path]) -> Source:
    entry = config.videos.get(name, VideoOverrides())
    labels = folder / entry.labels if entry.labels else _labels_beside(videos[0], files)
    problem: WorldgenError | None = None
    try:
        if len(videos) > 1:
            raise ConfigError(
                name,
                expected="one video of that name",
                found=", ".join(shown(path.name) for path in videos),
                next_step=f"rename one, or name the right one: videos.{name}.video in {FILE_NAME}",
            )
        check_file(folder, videos[0])
        if labels is None:
            raise _no_labels(name)
        check_file(folder, labels, error=LabelError)
    except WorldgenError as found:
        problem = found
    return Source(name, folder, videos[0], labels, config.defaults, entry, problem)


def _labels_beside(video: Path, files: list[Path]) -> Path | None:
    """The preferred label file of a video that lies beside it."""
    stem = video.stem.casefold()
    by_name = {path.name.casefold(): path for path in files} | {path.name: path for path in files}
    for ending in LABEL_ENDINGS:
        found = by_name.get(video.stem + ending) or by_name.get(stem + ending)
        if found is not None:
            return found
    return None


def _is_label(path: Path) -> bool:
    return path.name.casefold().endswith(LABEL_ENDINGS) and not path.name.casefold().startswith("readme")


def _no_labels(name: str) -> LabelError:
    return LabelError(
        name,
        expected=f"an action file beside the video: {name}{', '.join(LABEL_ENDINGS[:-1])}",
        found="none",
        next_step=f"add one, or name it: videos.{name}.labels in {FILE_NAME}",
    )
