"""A world model whose picture shows what was pressed, and starts for it without a dataset."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldgen_core.games.flappy import GAME
from worldgen_core.models.interface import Prediction
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

    def reset(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"], *, seed: int
    ) -> None:
        assert frames.shape[:2] == (1, NUM_CONTEXT_FRAMES)
        self.frame, self.flaps = 0, 0

    def step(
        self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
    ) -> Prediction:
        self.truths.append(truth is not None)
        self.frame, self.flaps = self.frame + 1, self.flaps + int(action[0])
        frame = torch.full((1, *self.frame_shape, 3), self.frame % 256, dtype=torch.uint8)
        frame[..., 0] = self.flaps % 256
        return Prediction(frame, None, torch.tensor([float(self.frame >= self.life)]))


def recorded_start(name: str = "held-out") -> Start:
    frames = np.full((NUM_CONTEXT_FRAMES, GAME.height, GAME.width, 3), 7, np.uint8)
    return Start(name, "held out", frames, np.zeros(NUM_CONTEXT_FRAMES - 1, np.int64), None)


def make_theatre(life: int = 10_000) -> Theatre:
    about = {"name": "counter", "parameters": 1, "device": "cpu", "context": NUM_CONTEXT_FRAMES}
    return Theatre(GAME, lambda: Counter(life), [recorded_start()], about)
