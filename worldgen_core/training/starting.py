"""Training on from a finished model: whose weights may be taken over."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from worldgen_core.errors import ConfigError
from worldgen_core.models.card import ModelCard, fill, read_card, read_weights


def read_start(start: Path, model: str) -> ModelCard:
    """The card of the model folder to train on from.

    Raises: ConfigError if it is not a `model`; CheckpointError if the card is damaged.
    """
    card = read_card(start)
    if card.model != model:
        raise ConfigError(
            f"{start}: model to train on from",
            expected=f"a {model} model",
            found=card.model,
            next_step="name another start, or none",
        )
    return card


def take_over(start: Path, model: str, network: nn.Module) -> None:
    """Fill a network with the weights of a finished model of the same kind and size.

    Raises: ConfigError, CheckpointError as `read_start`; CheckpointError if the size is another.
    """
    fill(network, read_weights(start, read_start(start, model)), source=str(start))
