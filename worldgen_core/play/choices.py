"""What a player may choose to play with: models of the same game, devices, backends, sampler steps.

A choice comes from a browser: nothing of it is used before `Menu.check` has found it in its lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldgen_core.errors import ConfigError

MAX_STEPS = 20
"""Sampler steps that may be chosen at most."""
MAX_MODELS = 24
"""Models in the list at most."""


@dataclass(frozen=True)
class ModelOption:
    """A model folder that can be chosen, and what is known of it without loading it."""

    option_id: str
    """Its artifact, STAGE/KEY."""
    folder: Path
    name: str
    num_parameters: int
    standing: str = ""
    """Such as "champion"."""
    built_at: str = ""
    """UTC, ISO 8601."""
    frames_per_s: float | None = None
    """As the benchmark stage measured it; None: it did not."""

    def describe(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {
            "id": self.option_id,
            "name": self.name,
            "parameters": self.num_parameters,
            "standing": self.standing,
            "built_at": self.built_at,
            "frames_per_s": self.frames_per_s,
        }


@dataclass(frozen=True)
class Choice:
    """What one player plays with; parts that `num_steps` does not name keep the model's own steps."""

    model: str
    device: str
    backend: str
    num_steps: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Menu:
    """Everything that may be chosen; the first of each is what a new player gets."""

    models: tuple[ModelOption, ...]
    devices: tuple[str, ...]
    backends: tuple[str, ...]

    @property
    def default(self) -> Choice:
        """What a new player gets."""
        return Choice(self.models[0].option_id, self.devices[0], self.backends[0])

    def check(self, choice: Choice) -> ModelOption:
        """The model that is chosen.

        Raises: ConfigError if anything of the choice is not in the lists.
        """
        by_id = {option.option_id: option for option in self.models}
        for kind, chosen, known in (
            ("model", choice.model, tuple(by_id)),
            ("device", choice.device, self.devices),
            ("backend", choice.backend, self.backends),
        ):
            if chosen not in known:
                raise ConfigError(
                    kind,
                    expected="one of the list",
                    found=f"{chosen[:40]!r}, which is not in it",
                    next_step="choose from the list",
                )
        return by_id[choice.model]

    def describe(self) -> dict[str, Any]:
        """What the page is told."""
        return {
            "models": [option.describe() for option in self.models],
            "devices": list(self.devices),
            "backends": list(self.backends),
            "max_steps": MAX_STEPS,
        }
