"""Stage `capture`: episodes of frames and aligned actions, played by the agents; a unit is an episode."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.agents.settings import CaptureSettings
from worldgen_core.outcome import Outcome


def _core(settings: CaptureSettings) -> tuple[str, ...]:
    return ("worldgen_core.agents.capture", f"worldgen_core.games.{settings.game}")


@stage(
    section="capture",
    core=_core,
    packages=("flappy-bird-gymnasium", "pygame", "numpy", "opencv-python-headless", "pyarrow", "zstandard"),
)
def capture(settings: CaptureSettings, work: Workspace) -> Outcome:
    """Play, record, and write the episodes as shards."""
    from worldgen_core.agents.capture import capture as record

    return record(settings, work.inputs["policies"], out=work.out, resume=work.resume, progress=work.progress)
