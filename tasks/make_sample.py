"""Stage `make_sample`: videos and action files of the overworld, where there is no footage."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.video.sample_settings import SampleSettings

FOLDER = "videos"


@stage(
    section="sample",
    core=("worldgen_core.video.samples",),
    packages=("av", "numpy", "gymnasium"),
)
def make_sample(settings: SampleSettings, work: Workspace) -> Outcome:
    """Let the scripted player walk, and record it in the recipe's form."""
    from worldgen_core.video.samples import make_sample as record

    paths = record(
        work.out / FOLDER,
        seed=settings.seed,
        num_videos=settings.num_videos,
        num_frames=settings.num_frames,
        progress=work.progress,
    )
    metrics = {"num_videos": len(paths), "num_frames": settings.num_frames}
    return Outcome(metrics=metrics, headline=f"{len(paths)} videos of {settings.num_frames:,} frames")
