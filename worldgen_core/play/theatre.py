"""What a server has to play: a game, a model's card, starts, and models for its players.

A model whose dreams are tensors is loaded once and shared; of others every player has one.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from storage.clips import ClipReader
from worldgen_core.device import choose_device
from worldgen_core.games.base import GameFacts
from worldgen_core.games.catalogue import get_facts
from worldgen_core.games.controls import controls_of
from worldgen_core.models.card import read_card
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.load import load_world_model
from worldgen_core.names import DeviceName
from worldgen_core.play.ensemble import Ensemble
from worldgen_core.play.session import PlaySession
from worldgen_core.play.starts import Start, has_simulator, held_out_starts

NUM_STARTS = 12
"""Held-out starts in the picker."""


@dataclass
class Theatre:
    """Everything that sessions share. A model is used by one session at a time and then by the next."""

    facts: GameFacts
    make_model: Callable[[], WorldModel]
    starts: list[Start]
    model_facts: dict[str, Any]
    """What the page says of the model: name, parameters, device, trained on."""
    threads: int = 1
    _idle: list[WorldModel] = field(default_factory=list[WorldModel])

    def open(self, *, seed: int) -> tuple[PlaySession, WorldModel]:
        """A new session, and the model to give back afterwards. May take as long as loading a model."""
        model = self._idle.pop() if self._idle else self.make_model()
        return PlaySession(model, self.facts, self.starts, seed=seed, threads=self.threads), model

    def give_back(self, model: WorldModel) -> None:
        """The session that had this model is over."""
        self._idle.append(model)

    def thumbnail(self, start_id: str) -> bytes | None:
        """The last context frame of a start as PNG, or None for an unknown one."""
        for start in self.starts:
            if start.start_id == start_id:
                out = io.BytesIO()
                Image.fromarray(start.frames[-1]).save(out, format="PNG")
                return out.getvalue()
        return None

    def describe(self) -> dict[str, Any]:
        """What the page needs to know before the first frame."""
        facts, controls = self.facts, controls_of(self.facts.name)
        return {
            "game": facts.name,
            "title": controls.title,
            "actions": [controls.words.get(i, name) for i, name in enumerate(facts.action_names)],
            "action_names": list(facts.action_names),
            "keymap": dict(facts.keymap),
            "taps": sorted(controls.taps),
            "fps": facts.fps,
            "has_game": has_simulator(facts),
            "starts": [{"id": start.start_id, "label": start.label} for start in self.starts],
            "model": self.model_facts,
        }


def open_theatre(
    model_folder: Path, dataset_folder: Path | None, *, device: DeviceName, threads: int = 1
) -> Theatre:
    """Load a model, and starts from the dataset's held-out episodes.

    Raises: CheckpointError; StorageError; ConfigError for a device that is not there.
    """
    card = read_card(model_folder)
    facts = get_facts(card.game)
    first = load_world_model(model_folder, device)
    reader = None if dataset_folder is None else ClipReader(dataset_folder)
    k = first.num_context_frames
    starts = held_out_starts(reader, facts, num_frames=k, num_starts=NUM_STARTS) if reader is not None else []
    about = {
        "name": card.model,
        "parameters": card.num_parameters["total"],
        "device": choose_device(device).type,
        "context": k,
        "train_steps": card.training.get("num_steps"),
        "dataset": card.dataset.get("name"),
        "artifact": model_folder.name,
    }
    if isinstance(first, TensorDreams):
        return Theatre(facts, Ensemble(first).seat, starts, about, threads)
    theatre = Theatre(facts, lambda: load_world_model(model_folder, device), starts, about, threads)
    theatre.give_back(first)
    return theatre
