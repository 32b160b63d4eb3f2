"""The U-Net at play: remembered modulations give what computing them anew gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from worldgen_core.models import played_unet
from worldgen_core.models.inner_unet import InnerUnet, InnerUnetSettings
from worldgen_core.models.played_unet import PlayedUnet

SETTINGS = InnerUnetSettings(
    channels=(8, 16), depths=(1, 2), attention=(False, True), cond_channels=16, num_context_frames=2
)


def make_unet(*, num_actions: int | None = 2) -> InnerUnet:
    torch.manual_seed(0)
    unet = InnerUnet(SETTINGS, num_channels=4, num_actions=num_actions)
    for weight in unet.parameters():
        nn.init.normal_(weight, std=0.1)
    return unet.requires_grad_(False)


def inputs(acts: list[list[int]] | None, *, level: float = 0.3) -> tuple[torch.Tensor | None, ...]:
    b = 2 if acts is None else len(acts)
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(b, 4, 6, 6, generator=generator),
        torch.full((b,), level),
        torch.zeros(b),
        torch.randn(b, 2, 4, 6, 6, generator=generator),
        None if acts is None else torch.tensor(acts),
    )


@pytest.mark.parametrize("acts", [[[0, 1], [1, 1], [0, 1]], None])
def test_the_result_is_that_of_the_trained_network(acts: list[list[int]] | None) -> None:
    unet = make_unet(num_actions=None if acts is None else 2)
    played = PlayedUnet(unet)
    for level in (0.3, -1.0, 0.3):
        given = inputs(acts, level=level)
        torch.testing.assert_close(played(*given), unet(*given), rtol=1e-5, atol=1e-6)


def test_a_question_is_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    unet = make_unet()
    asked: list[int] = []
    answer = unet.modulations

    def count(*given: torch.Tensor) -> torch.Tensor:
        asked.append(len(given[0]))
        return answer(*given)

    monkeypatch.setattr(unet, "modulations", count)
    played = PlayedUnet(unet)
    for acts in ([[0, 1], [1, 1], [0, 1]], [[1, 1]], [[0, 0]]):
        played(*inputs(acts))
    assert asked == [1, 1, 1], "three different histories, each row alone"
    played(*inputs([[0, 0]], level=0.5))
    assert len(asked) == 4, "another noise level is another question"


def test_what_is_remembered_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    unet = make_unet()
    size = unet.modulations(torch.zeros(1), torch.zeros(1), torch.zeros(1, 2, dtype=torch.int64))[0].nbytes
    monkeypatch.setattr(played_unet, "MAX_REMEMBERED_BYTES", 2 * size)
    played = PlayedUnet(unet)
    for acts in ([0, 0], [0, 1], [0, 0], [1, 1]):
        played(*inputs([acts]))
    assert [question[2] for question in played._remembered] == [(0, 0), (1, 1)]
