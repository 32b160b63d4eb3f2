"""Stage `slice_video`: the episodes of one video; a recipe calls it once a video."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.make_sample import FOLDER
from tasks.stage import Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.video.source_settings import SourceSettings


def _core(settings: SourceSettings) -> tuple[str, ...]:
    return ("worldgen_core.video.slicing", f"worldgen_core.games.{settings.game}")


def _files(settings: SourceSettings) -> Mapping[str, str]:
    return settings.digests


@stage(
    section="slices",
    core=_core,
    packages=("av", "numpy", "opencv-python-headless", "pyarrow", "zstandard"),
    user_files=_files,
)
def slice_video(settings: SourceSettings, work: Workspace) -> Outcome:
    """Inspect, align and cut one video."""
    from worldgen_core.video.slicing import slice_video as cut

    folder = settings.folder or work.inputs["sample"] / FOLDER
    return cut(settings, folder, out=work.out, progress=work.progress)
