"""The recipe `build-pokemon`: from a folder of videos and action files to a playable world."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from flows.building import BuildResult, build
from flows.datasets import sliced
from flows.learning import Learned, learn
from tasks.steps import Steps
from worldgen_core.config import Config, Overrides, make_config
from worldgen_core.names import DeviceName, ModelName, ProfileName, default_model
from worldgen_core.video.footage import choose_footage

RECIPE = "build-pokemon"


def pokemon_recipe(config: Config, call: Steps) -> Learned:
    """The stages, in order."""
    return learn(config, sliced(config, call), call)


def _run_name() -> str:
    """The run's name says which footage `auto` meant."""
    given = flow_run.parameters
    name = choose_footage("pokemon", given["data"]).dataset_name
    model = given["model"] or default_model("pokemon", given["profile"])
    return f"{given['profile']}-{model}-{name}-seed{given['seed']}"


@flow(name=RECIPE, flow_run_name=_run_name)
def build_pokemon(
    profile: ProfileName = "laptop",
    model: ModelName | None = None,
    data: str = "auto",
    seed: int = 0,
    device: DeviceName = "auto",
    overrides: Overrides = Overrides(),  # noqa: B008  # frozen, and Prefect's form needs the default
    force: list[str] | None = None,
) -> BuildResult:
    """Slice videos along their action files, and learn a world that a neural network dreams.

    Args:
        profile: How big everything is: smoke (2 minutes), laptop (an hour at most), paper (a GPU).
        model: Which architecture learns the world; empty for the one that plays best (paper: the published).
        data: A folder of videos with action files; auto is data/pokemon if it holds videos, else the sample.
        seed: Every stage's randomness derives from it.
        device: Where to train; a named device that is missing is an error.
        overrides: Single settings on top of the profile; leave empty for the profile's own.
        force: Names of stages to run again although they are fresh.
    """
    changes = overrides.model_dump(exclude_unset=True)
    config = make_config(
        "pokemon", profile, model=model, seed=seed, device=device, data=data, overrides=changes
    )
    return build(pokemon_recipe, config, recipe_name=RECIPE, forced=force or [])
