"""The recipe `build-flappy`: from a PPO agent that learns to play to a network that is the game."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from flows.building import BuildResult, build
from flows.datasets import played
from flows.learning import Learned, learn
from tasks.steps import Steps
from worldgen_core.config import Config, Overrides, make_config
from worldgen_core.names import DeviceName, ModelName, ProfileName, default_model

RECIPE = "build-flappy"


def flappy_recipe(config: Config, call: Steps) -> Learned:
    """The stages, in order."""
    return learn(config, played(config, call), call)


def _run_name() -> str:
    given = flow_run.parameters
    model = given["model"] or default_model("flappy", given["profile"])
    return f"{given['profile']}-{model}-seed{given['seed']}"


@flow(name=RECIPE, flow_run_name=_run_name)
def build_flappy(
    profile: ProfileName = "laptop",
    model: ModelName | None = None,
    seed: int = 0,
    device: DeviceName = "auto",
    overrides: Overrides = Overrides(),  # noqa: B008  # frozen, and Prefect's form needs the default
    force: list[str] | None = None,
) -> BuildResult:
    """Train an agent, record its play, and learn a Flappy Bird that a neural network dreams.

    Args:
        profile: How big everything is: smoke (2 minutes), laptop (15 minutes), paper (a GPU).
        model: Which architecture learns the game; empty for the one that plays best (paper: the published).
        seed: Every stage's randomness derives from it.
        device: Where to train; a named device that is missing is an error.
        overrides: Single settings on top of the profile; leave empty for the profile's own.
        force: Names of stages to run again although they are fresh.
    """
    changes = overrides.model_dump(exclude_unset=True)
    config = make_config("flappy", profile, model=model, seed=seed, device=device, overrides=changes)
    return build(flappy_recipe, config, recipe_name=RECIPE, forced=force or [])
