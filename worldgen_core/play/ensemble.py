"""One model for many players: steps that are wanted at the same time are made in one batch.

Every player has a seat, which behaves like a world model of one dream and keeps that dream's state. There is
no clock and no thread: who wants a step while nobody works does the work of all who wait. So a single player
never waits for others, and the more players there are, the larger the batches become by themselves.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldgen_core.models.dreams import Dreams, TensorDreams, join, split
from worldgen_core.models.interface import Prediction


@dataclass(eq=False)
class _Wanted:
    """A step that a player waits for."""

    seat: Seat
    action: Int64[Tensor, 1]
    truth: UInt8[Tensor, "1 h w c"] | None
    prediction: Prediction | None = None
    error: Exception | None = None


class Ensemble:
    """Lends a model to any number of players, from any number of threads."""

    def __init__(self, model: TensorDreams, *, working: AbstractContextManager[object] | None = None) -> None:
        """Lend `model`; ensembles over the same networks have one `working` lock, held during a step."""
        self.model = model
        self._working = working or Lock()
        self._queueing = Lock()
        self._waiting: list[_Wanted] = []

    def seat(self) -> Seat:
        """A place for one more player."""
        return Seat(self)

    def begin(
        self, frames: UInt8[Tensor, "1 t h w c"], actions: Int64[Tensor, "1 past"], *, seed: int
    ) -> Dreams:
        """The state of a new dream; see `WorldModel.reset`."""
        with self._working:
            self.model.reset(frames, actions, seed=seed)
            return self.model.dreams

    def step(
        self, seat: Seat, action: Int64[Tensor, 1], truth: UInt8[Tensor, "1 h w c"] | None
    ) -> Prediction:
        """Step a seat's dream, together with all others that wait."""
        wanted = _Wanted(seat, action, truth)
        with self._queueing:
            self._waiting.append(wanted)
        with self._working:
            if wanted.prediction is None and wanted.error is None:
                with self._queueing:
                    batch, self._waiting = self._waiting, []
                for told in (True, False):
                    self._work([one for one in batch if (one.truth is not None) == told])
        if wanted.error is not None:
            raise wanted.error
        assert wanted.prediction is not None, "whoever worked before has taken all that waited"
        return wanted.prediction

    @torch.inference_mode()
    def _work(self, batch: list[_Wanted]) -> None:
        if not batch:
            return
        try:
            self.model.dreams = join([one.seat.dreams for one in batch])
            truths = [one.truth for one in batch if one.truth is not None]
            truth = torch.cat(truths) if truths else None
            made = self.model.step(torch.cat([one.action for one in batch]), truth=truth)
        except Exception as error:  # it belongs to every player of the batch
            for one in batch:
                one.error = error
            return
        for row, (one, dreams) in enumerate(zip(batch, split(self.model.dreams), strict=True)):
            one.seat.dreams = dreams
            own = slice(row, row + 1)
            reward = None if made.reward is None else made.reward[own]
            end = None if made.terminated is None else made.terminated[own]
            one.prediction = Prediction(made.frame[own], reward, end)


class Seat:
    """One player's dream in an ensemble; a `WorldModel` of batch size 1."""

    dreams: Dreams

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        model = ensemble.model
        self.num_context_frames = model.num_context_frames
        self.num_actions = model.num_actions
        self.frame_shape = model.frame_shape
        self.takes_chance_from_truth = model.takes_chance_from_truth

    def reset(
        self, frames: UInt8[Tensor, "1 t h w c"], actions: Int64[Tensor, "1 past"], *, seed: int
    ) -> None:
        """Begin the dream; see `WorldModel.reset`."""
        self.dreams = self._ensemble.begin(frames, actions, seed=seed)

    def step(self, action: Int64[Tensor, 1], *, truth: UInt8[Tensor, "1 h w c"] | None = None) -> Prediction:
        """Dream the next frame; see `WorldModel.step`."""
        return self._ensemble.step(self, action, truth)
