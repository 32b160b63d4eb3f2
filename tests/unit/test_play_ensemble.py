"""Players who share a model: each dreams as if alone, and steps wanted together are made together."""

from __future__ import annotations

import threading

import pytest
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldgen_core.models.dreams import Imagined, Slot, TensorDreams
from worldgen_core.play.ensemble import Ensemble, Seat
from worldgen_core.ranges import to_unit


class Sum(TensorDreams):
    """A dream is the sum of what was pressed, plus a draw of its own chance; shown as grey."""

    num_actions = 100
    frame_shape = (2, 2)
    takes_chance_from_truth = True
    num_context_frames = 1

    def __init__(self) -> None:
        super().__init__("sum", torch.device("cpu"))
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def _begin(
        self, frames: UInt8[Tensor, "b t h w c"], actions: Int64[Tensor, "b past"]
    ) -> dict[str, Tensor]:
        return {"sum": frames[:, -1, 0, 0, 0].float()}

    @property
    def slots(self) -> dict[str, Slot]:
        return {}

    def advance(self, action: Int64[Tensor, " b"], truth: UInt8[Tensor, "b h w c"] | None = None) -> Imagined:
        self.gate.wait(5)
        self.batches.append(len(action))
        if (action == 99).any():
            raise ValueError("broken")
        chance = self._draw_noise(()).abs() if truth is None else truth[:, 0, 0, 0]
        self._state = {"sum": self._state["sum"] + action + chance.long()}
        grey = self._state["sum"][:, None, None, None].expand(-1, 3, 2, 2)
        return Imagined(to_unit(grey.to(torch.uint8)), None)


def begun(seat: Seat, seed: int) -> Seat:
    frames = torch.zeros(1, 1, 2, 2, 3, dtype=torch.uint8)
    seat.reset(frames, torch.zeros(1, 0, dtype=torch.int64), seed=seed)
    return seat


def press(seat: Seat, action: int, truth: int | None = None) -> int:
    told = None if truth is None else torch.full((1, 2, 2, 3), truth, dtype=torch.uint8)
    return int(seat.step(torch.tensor([action]), truth=told).frame[0, 0, 0, 0])


def test_every_player_dreams_as_if_alone() -> None:
    shared = Ensemble(Sum())
    seats = [begun(shared.seat(), seed) for seed in (1, 2)]
    alone = [begun(Ensemble(Sum()).seat(), seed) for seed in (1, 2)]
    found = [[press(seat, action) for seat in seats] for action in (3, 0, 5)]
    assert found == [[press(seat, action) for seat in alone] for action in (3, 0, 5)]


def test_steps_that_wait_are_made_in_one_batch_those_told_the_truth_apart() -> None:
    model = Sum()
    shared = Ensemble(model)
    seats = [begun(shared.seat(), seed) for seed in range(5)]
    model.gate.clear()
    results: dict[int, int] = {}
    truths = [None, None, 7, None, 7]

    def play(index: int) -> None:
        results[index] = press(seats[index], index, truths[index])

    threads = [threading.Thread(target=play, args=(index,)) for index in range(5)]
    threads[0].start()
    while not shared._working.locked():  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        pass
    for thread in threads[1:]:
        thread.start()
    while len(shared._waiting) < 4:  # pyright: ignore[reportPrivateUsage]
        pass
    model.gate.set()
    for thread in threads:
        thread.join()
    assert model.batches == [1, 2, 2]
    assert (results[2], results[4]) == (9, 11)


def test_what_fails_is_told_to_the_player_and_the_ensemble_goes_on() -> None:
    shared = Ensemble(Sum())
    seat = begun(shared.seat(), 1)
    with pytest.raises(ValueError, match="broken"):
        press(seat, 99)
    assert press(seat, 1, truth=2) == 3
