"""A world model whose picture shows what was pressed, and starts for it without a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldgen_core.games.flappy import GAME
from worldgen_core.models.interface import Prediction
from worldgen_core.play.choices import Menu, ModelOption
from worldgen_core.play.loading import Shared
from worldgen_core.play.repertoire import Key, Repertoire
from worldgen_core.play.starts import Start
from worldgen_core.play.theatre import Theatre

NUM_CONTEXT_FRAMES = 3


class Counter:
    """Frame n is all of grey n, its red channel counts flaps; the life ends after `life` frames."""

    num_context_frames = NUM_CONTEXT_FRAMES
    num_actions = 2
    frame_shape = (GAME.height, GAME.width)
    takes_chance_from_truth = True

    def __init__(self, life: int = 10_000) -> None:
        self.life = life
        self.truths: list[bool] = []

    def twin(self) -> Counter:
        return Counter(self.life)

    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"], *, seed: int
    ) -> None:
        assert frames.shape[:2] == (1, self.num_context_frames)
        self.frame, self.flaps = 0, 0

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        self.truths.append(truth is not None)
        self.frame, self.flaps = self.frame + 1, self.flaps + int(action[0])
        frame = torch.full((1, *self.frame_shape, 3), self.frame % 256, dtype=torch.uint8)
        frame[..., 0] = self.flaps % 256
        return Prediction(frame, None, torch.tensor([float(self.frame >= self.life)]))


def recorded_start(name: str = "held-out", *, num_frames: int = NUM_CONTEXT_FRAMES) -> Start:
    frames = np.full((num_frames, GAME.height, GAME.width, 3), 7, np.uint8)
    return Start(name, "held out", frames, np.zeros(num_frames - 1, np.int64), None)


class Stepper(Counter):
    """A counter that needs more frames and counts in its steps."""

    num_context_frames = 5

    def __init__(self, life: int = 10_000, num_steps: int = 2) -> None:
        super().__init__(life)
        self._num_steps = num_steps

    def twin(self) -> Stepper:
        return Stepper(self.life, self._num_steps)

    @property
    def num_steps(self) -> dict[str, int]:
        return {"denoiser": self._num_steps}

    def with_steps(self, num_steps: Mapping[str, int]) -> Stepper:
        return Stepper(self.life, num_steps["denoiser"])

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        frame, reward, end = super().step(action, truth=truth)
        frame[..., 2] = 100 + self._num_steps
        return Prediction(frame, reward, end)


class Broken(Counter):
    """A model that cannot be stepped here."""

    def twin(self) -> Broken:
        return Broken(self.life)

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        raise RuntimeError("no such kernel")


def make_theatre(life: int = 10_000, *, gate: Event | None = None, max_models: int = 3) -> Theatre:
    """Three models to choose from; all but the first are loaded when `gate` opens."""
    kinds = {"a/counter": Counter, "a/stepper": Stepper, "a/broken": Broken}

    def load(key: Key) -> Shared:
        if gate is not None and key.model != "a/counter":
            assert gate.wait(60)
        return Shared(kinds[key.model](life), key.backend)

    models = tuple(ModelOption(name, Path(name), name[2:], 1_000_000) for name in kinds)
    repertoire = Repertoire(load, limit=max_models)
    menu = Menu(models, ("cpu",), ("eager", "other"))
    return Theatre(GAME, menu, repertoire, lambda num_frames: [recorded_start(num_frames=num_frames)])
