"""Every model at every profile, measured on the meta device: seconds, and no memory to speak of."""

from __future__ import annotations

from typing import get_args

import torch

from worldgen_core.config import make_config
from worldgen_core.games.catalogue import get_facts
from worldgen_core.names import ModelName, ProfileName
from worldgen_core.sizes.measure import num_parameters, run_cost, weights_bytes
from worldgen_core.sizes.parts import PARTS_OF
from worldgen_core.sizes.published import published_parameters
from worldgen_core.sizes.records import ModelSize, PartSize

GAME = "flappy"
PUBLISHED_FRAME = (320, 240)
"""Height and width at which the published sizes were measured; the other profiles take the game's own."""


def model_sizes(num_actions: int = 2) -> list[ModelSize]:
    """The size of each model at each profile, for a game of `num_actions` actions."""
    return [
        model_size(model, profile, num_actions) for model in PARTS_OF for profile in get_args(ProfileName)
    ]


def model_size(model: ModelName, profile: ProfileName, num_actions: int) -> ModelSize:
    """The size of one model at one profile."""
    config = make_config(GAME, profile, model=model, device="cpu")
    facts = get_facts(GAME)
    height, width = PUBLISHED_FRAME if profile == "paper" else (facts.height, facts.width)
    with torch.device("meta"):
        parts = PARTS_OF[model](config, num_actions, height, width)
    costs = [run_cost(part.run) for part in parts]
    return ModelSize(
        model=model,
        profile=profile,
        num_actions=num_actions,
        height=height,
        width=width,
        parts=tuple(
            PartSize(
                name=part.name,
                num_parameters=num_parameters(part),
                num_evaluations=part.num_evaluations,
                flops_per_evaluation=cost.flops,
                published_parameters=published_parameters(model, profile, num_actions, part.name),
            )
            for part, cost in zip(parts, costs, strict=True)
        ),
        weights_bytes=sum(map(weights_bytes, parts)),
        activation_bytes=max(
            cost.activation_bytes for part, cost in zip(parts, costs, strict=True) if part.num_evaluations
        ),
    )
