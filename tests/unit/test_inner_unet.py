"""The denoiser's U-Net: published sizes, shapes, and what an untrained one does."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from worldgen_core.models.inner_unet import (
    FourierFeatures,
    InnerUnet,
    InnerUnetSettings,
    Modulation,
    SelfAttention,
)


def settings(**changes: object) -> InnerUnetSettings:
    values = {
        "channels": (8, 16),
        "depths": (1, 2),
        "attention": (False, True),
        "cond_channels": 16,
        "num_context_frames": 2,
        **changes,
    }
    return InnerUnetSettings.model_validate(values)


def published(channels: tuple[int, ...], depths: tuple[int, ...]) -> InnerUnetSettings:
    return settings(
        channels=channels,
        depths=depths,
        attention=(False, False, True, True),
        cond_channels=2048,
        num_context_frames=4,
    )


REDUCED = published((64, 128, 256, 384), (1, 2, 2, 1))
CSGO = published((128, 256, 512, 1024), (2, 2, 2, 2))


@pytest.mark.parametrize(
    ("size", "num_channels", "num_actions", "num_parameters"),
    [
        (REDUCED, 4, 2, 73_830_788),
        (REDUCED, 3, 2, 73_827_331),
        (CSGO, 3, 2, 330_464_131),
        (CSGO, 3, 51, 330_489_219),
    ],
)
def test_published_sizes_have_the_published_number_of_parameters(
    size: InnerUnetSettings, num_channels: int, num_actions: int, num_parameters: int
) -> None:
    with torch.device("meta"):
        network = InnerUnet(size, num_channels=num_channels, num_actions=num_actions)
    assert sum(weight.numel() for weight in network.parameters()) == num_parameters


def run(network: nn.Module, height: int = 9, width: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return network(
        torch.randn(3, 4, height, width, generator=generator),
        torch.randn(3, generator=generator),
        torch.randn(3, generator=generator),
        torch.randn(3, 2, 4, height, width, generator=generator),
        torch.randint(0, 2, (3, 2), generator=generator),
    )


@pytest.mark.parametrize("has_group_norm", [True, False])
def test_odd_sizes_come_back_as_they_went_in(has_group_norm: bool) -> None:
    network = InnerUnet(settings(has_group_norm=has_group_norm), num_channels=4, num_actions=2)
    assert run(network).shape == (3, 4, 9, 7)


def test_a_fresh_network_says_nothing() -> None:
    assert not run(InnerUnet(settings(), num_channels=4, num_actions=2)).any()


def test_every_weight_is_used() -> None:
    torch.manual_seed(0)
    network = InnerUnet(settings(), num_channels=4, num_actions=2)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.1)
    run(network).square().mean().backward()
    silent = [
        name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert silent == []


def test_each_action_of_the_context_matters_and_has_its_place() -> None:
    torch.manual_seed(0)
    network = InnerUnet(settings(), num_channels=4, num_actions=2)
    zero = torch.zeros(1)
    conditions = [
        network.condition(zero, zero, torch.tensor([act])) for act in ([0, 0], [0, 1], [1, 0], [1, 1])
    ]
    for index, one in enumerate(conditions):
        assert all(not torch.equal(one, other) for other in conditions[index + 1 :])


def test_untrained_attention_is_the_identity() -> None:
    x = torch.randn(2, 16, 3, 5)
    torch.testing.assert_close(SelfAttention(16)(x), x)


def test_modulation_without_norm_scales_and_shifts() -> None:
    modulation = Modulation(2, 4, has_group_norm=False)
    nn.init.zeros_(modulation.linear.weight)
    with torch.no_grad():
        modulation.linear.bias.copy_(torch.tensor([0.5, 1.0, -1.0, 0.0]))
    result = modulation(torch.ones(1, 2, 1, 1), modulation.linear(torch.zeros(1, 4)))
    torch.testing.assert_close(result.flatten(), torch.tensor([0.5, 2.0]))


def test_fourier_features_have_unit_length_pairs() -> None:
    features = FourierFeatures(10)(torch.tensor([0.3, -2.0]))
    torch.testing.assert_close(features[:, :5] ** 2 + features[:, 5:] ** 2, torch.ones(2, 5))


@pytest.mark.parametrize(
    "changes",
    [
        {"depths": (1,)},
        {"cond_channels": 18, "num_context_frames": 4},
        {"channels": (0, 16)},
        {"channels": (100, 200)},
        {"channels": (96, 112), "attention": (False, False), "has_middle_attention": False},
        {"channels": (16, 44), "has_group_norm": False},
    ],
)
def test_sizes_that_cannot_be_built_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**changes)
