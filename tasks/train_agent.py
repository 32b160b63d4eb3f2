"""Stage `train_agent`: a PPO agent that plays the game, and weaker ones from along its way."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.agents.settings import AgentSettings
from worldgen_core.outcome import Outcome


def _core(settings: AgentSettings) -> tuple[str, ...]:
    return ("worldgen_core.agents.train", f"worldgen_core.games.{settings.game}")


@stage(
    section="agent",
    core=_core,
    packages=("stable-baselines3", "torch", "flappy-bird-gymnasium", "numpy", "matplotlib"),
)
def train_agent(settings: AgentSettings, work: Workspace) -> Outcome:
    """Train, evaluate as it trains, keep the best policy and some weaker ones."""
    # Imported here so that planning and --help need not load torch; the same in every stage.
    from worldgen_core.agents.train import train_agent as train

    return train(settings, out=work.out, resume=work.resume, progress=work.progress)
