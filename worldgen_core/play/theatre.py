"""What a server has to play: a game, models to choose from, starts, and a role for each of its players."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, cast

from PIL import Image

from storage.clips import ClipReader
from worldgen_core.device import available_devices, choose_device
from worldgen_core.games.base import GameFacts
from worldgen_core.games.catalogue import get_facts
from worldgen_core.games.controls import controls_of
from worldgen_core.models.card import read_card
from worldgen_core.models.interface import WorldModel
from worldgen_core.names import BackendChoice, DeviceName
from worldgen_core.play.choices import Choice, Menu, ModelOption
from worldgen_core.play.loading import Shared, backends_here, load_shared, try_out
from worldgen_core.play.repertoire import Key, Repertoire
from worldgen_core.play.scenes import scene_of_dataset
from worldgen_core.play.session import PlaySession
from worldgen_core.play.starts import Start, has_simulator, held_out_starts
from worldgen_core.runtime.choose import Say

NUM_STARTS = 12
"""Held-out starts in the picker."""
_START_FRAMES = 16
"""Frames of a start at least: models that need no more have the same starts."""


@dataclass(frozen=True, eq=False)
class Role:
    """What one player dreams with, until it is given back to the theatre."""

    key: Key
    model: WorldModel
    about: dict[str, Any]
    """What the page says of it."""


@dataclass
class Theatre:
    """Everything that sessions share. Whoever takes a role gives it back."""

    facts: GameFacts
    menu: Menu
    repertoire: Repertoire
    find_starts: Callable[[int], list[Start]]
    """Held-out starts of so many frames."""
    threads: int = 1
    about_first: dict[str, Any] = field(default_factory=dict[str, Any])
    """What is known of the first model, once the curtain is raised."""
    _starts: dict[int, list[Start]] = field(default_factory=dict[int, list[Start]])
    _finding: Lock = field(default_factory=Lock)

    def raise_curtain(self) -> None:
        """Load the first model for good, so that whoever comes in finds it, and find the starts."""
        role = self.cast(self.menu.default)
        self.starts(role.model.num_context_frames)
        self.about_first = role.about

    def cast(self, choice: Choice) -> Role:
        """A role for a player. May take as long as loading a model.

        Raises: ConfigError for what is not on the menu or finds no room; CheckpointError for a damaged model.
        """
        option = self.menu.check(choice)
        key = Key(choice.model, choice.device, choice.backend)
        shared = self.repertoire.borrow(key)
        try:
            model = shared.seat(choice.num_steps)
            try_out(model, self.threads)
        except BaseException:
            self.repertoire.give_back(key)
            raise
        about = {
            **option.describe(),
            "device": shared.device,
            "asked_device": choice.device,
            "backend": shared.backend,
            "asked_backend": choice.backend,
            "threads": self.threads,
            "num_steps": {**shared.num_steps, **choice.num_steps},
            "context": model.num_context_frames,
            "load_s": shared.load_s,
        }
        return Role(key, model, about)

    def give_back(self, role: Role) -> None:
        """The player of this role is gone, or has another."""
        self.repertoire.give_back(role.key)

    def open(self, *, seed: int) -> tuple[PlaySession, Role]:
        """A new session and its role."""
        role = self.cast(self.menu.default)
        try:
            starts = self.starts(role.model.num_context_frames)
            session = PlaySession(role.model, self.facts, starts, seed=seed, threads=self.threads)
        except BaseException:
            self.give_back(role)
            raise
        return session, role

    def starts(self, num_context_frames: int) -> list[Start]:
        """The held-out starts for a model that needs so many frames."""
        num_frames = max(num_context_frames, _START_FRAMES)
        with self._finding:
            if num_frames not in self._starts:
                self._starts[num_frames] = self.find_starts(num_frames)
            return self._starts[num_frames]

    def thumbnail(self, start_id: str) -> bytes | None:
        """The last context frame of a start as PNG, or None for an unknown one."""
        for start in (start for starts in list(self._starts.values()) for start in starts):
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
            "choices": self.menu.describe(),
        }

    def describe_role(self, role: Role) -> dict[str, Any]:
        """What the page needs to know of a role: the model, and where its dreams may begin."""
        starts = self.starts(role.model.num_context_frames)
        return {
            "model": role.about,
            "starts": [{"id": start.start_id, "label": start.label} for start in starts],
        }


def open_theatre(
    models: list[ModelOption],
    dataset_folder: Path | None,
    *,
    device: DeviceName,
    backend: BackendChoice = "auto",
    threads: int = 1,
    max_models: int = 3,
    say: Say = lambda _line: None,
) -> Theatre:
    """Load the first model, find starts in the dataset's held-out episodes, and offer the other models.

    `backend` is what new players get; `say` is told when something is measured first.
    Raises: CheckpointError; StorageError; ConfigError for a device or a backend that is not there.
    """
    menu = Menu(
        tuple(models),
        _first(choose_device(device).type, available_devices()),
        _first(backend, backends_here()),
    )
    facts = get_facts(read_card(models[0].folder).game)
    reader = None if dataset_folder is None else ClipReader(dataset_folder)
    folders = {option.option_id: option.folder for option in models}

    def find_starts(num_frames: int) -> list[Start]:
        if reader is None:
            return []
        return held_out_starts(reader, facts, num_frames=num_frames, num_starts=NUM_STARTS)

    def load(key: Key) -> Shared:
        # The menu has found both names in its lists.
        wanted_device, wanted_backend = cast("DeviceName", key.device), cast("BackendChoice", key.backend)
        return load_shared(
            folders[key.model],
            wanted_device,
            wanted_backend,
            threads=threads,
            scene_of=scene_of_dataset(dataset_folder),
            say=say,
        )

    repertoire = Repertoire(load, limit=max_models)
    theatre = Theatre(facts, menu, repertoire, find_starts, threads)
    theatre.raise_curtain()
    return theatre


def _first(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """All names, the given one first."""
    return (name, *(other for other in names if other != name))
