"""Stage `slice_videos`: the episodes of all videos as one dataset."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.video.settings import SliceSettings


def _core(settings: SliceSettings) -> tuple[str, ...]:
    return ("worldgen_core.video.slicing", f"worldgen_core.games.{settings.game}")


@stage(section="slices", core=_core, packages=("numpy", "opencv-python-headless", "pyarrow", "zstandard"))
def slice_videos(settings: SliceSettings, work: Workspace) -> Outcome:
    """Join what the videos gave."""
    from worldgen_core.video.slicing import join_slices

    return join_slices(settings, work.inputs, out=work.out)
