"""What chance (models/chance.py) costs while a model trains, and where a game has chance."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor

from worldgen_core.games.base import ModelAssumptions
from worldgen_core.models.chance import ChanceEncoder, ChanceGuide, ChancePrior, ChanceSettings, no_guides
from worldgen_core.rows import normal, row_share


class Told(NamedTuple):
    """Chance read from the truth, and what that costs, in nats."""

    chance: Float32[Tensor, "b z"]
    price: Float32[Tensor, " b"]
    """What the chance tells beyond the prior; its gradient reaches the encoder alone."""
    surprise: Float32[Tensor, " b"]
    """How little the prior expected it; its gradient reaches the prior alone."""


def tell(
    encoder: ChanceEncoder, prior: ChancePrior, last: Tensor, target: Tensor, generator: torch.Generator
) -> Told:
    """Draw the chance that leads from `last` to `target`."""
    mean, log_std = encoder(last, target)
    noise = normal(mean.shape, generator).to(mean.device)
    chance = mean + log_std.exp() * noise
    expected = prior(last.detach())
    frozen = type(expected)(*(value.detach() for value in expected))
    own = -(log_std + 0.5 * noise.square() + 0.5 * math.log(2 * math.pi)).sum(1)
    price = own - frozen.log_prob(chance)
    return Told(chance, price, -expected.log_prob(chance.detach()))


def tell_guides(
    chance: ChanceGuide | None,
    last: Float32[Tensor, "b c h w"],
    target: Float32[Tensor, "b c h w"],
    generator: torch.Generator,
    parts: dict[str, list[Tensor]],
) -> Float32[Tensor, "b g c h w"]:
    """Return the guides of a latent model, and add to `parts` what the chance of these rows cost."""
    if chance is None:
        return no_guides(last[:, None])
    told, share = tell(chance.encoder, chance.prior, last, target, generator), row_share(generator)
    parts["chance"].append(share * told.price.mean())
    parts["prior"].append(share * told.surprise.mean())
    return chance.guides(told.chance)


def chance_of_game(
    settings: ChanceSettings | None, assumptions: ModelAssumptions, factor: int
) -> ChanceSettings | None:
    """Return the settings for a game's latents of `factor` pixels; None where no border is known.

    Chance from anywhere would tell the player's way, too. A place beside the border's own sees them as well.
    """
    if settings is None or assumptions.new_content != "right":
        return None
    columns = math.ceil(assumptions.new_content_columns / factor) + 1
    return settings.model_copy(update={"columns": columns})
