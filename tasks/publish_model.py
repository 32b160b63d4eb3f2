"""Stage `publish`: is this model better than the champion? A decision with its reasons, and a model card."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.evaluation.settings import PublishSettings
from worldgen_core.outcome import Outcome


@stage(section="publish", core=("worldgen_core.evaluation.promotion",))
def publish(settings: PublishSettings, work: Workspace) -> Outcome:
    """Decide on promotion and write the card; the flow swings the champion pointer."""
    from worldgen_core.evaluation.promotion import decide

    return decide(
        settings,
        work.inputs["model"],
        work.inputs["report"],
        work.inputs.get("incumbent_report"),
        out=work.out,
    )
