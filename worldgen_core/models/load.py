"""Opens a model folder as a `WorldModel`, whichever architecture its card names."""

from __future__ import annotations

import importlib
from pathlib import Path

from worldgen_core.errors import ConfigError
from worldgen_core.models.card import read_card
from worldgen_core.models.catalogue import MODEL_MODULES
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.reward_head import load_reward_head


def load_world_model(folder: Path, device: str = "cpu") -> WorldModel:
    """Open the model in `folder` on a device.

    Raises: CheckpointError if the folder is damaged; ConfigError if its architecture is unknown.
    """
    card = read_card(folder)
    if card.model not in MODEL_MODULES:
        raise ConfigError(
            f"{folder}: model",
            expected="one of " + ", ".join(MODEL_MODULES),
            found=repr(card.model),
            next_step="update worldgen, or name another model folder",
        )
    model: WorldModel = importlib.import_module(MODEL_MODULES[card.model]).load(folder, card, device)
    return model


def tell_rewards(model: WorldModel, folder: Path) -> None:
    """Let a model that was opened from `folder` tell rewards, if that has a head for them.

    Others do without: a head takes a little of every frame's time.
    Raises: CheckpointError if the head is damaged.
    """
    if isinstance(model, TensorDreams):
        model.reward_head = load_reward_head(folder, read_card(folder))
