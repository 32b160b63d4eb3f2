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
    if isinstance(model, TensorDreams):
        model.reward_head = load_reward_head(folder, card)
    return model
