"""Operations of a training, counted without data, and steps that keep to a budget of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from worldgen_core.config import make_config
from worldgen_core.errors import ConfigError
from worldgen_core.names import ModelName
from worldgen_core.overrides import deep_merge
from worldgen_core.sizes.budget import within_budget
from worldgen_core.sizes.training import step_flops, training_flops


class TwoLayers:
    """A loss of two linear layers, whose operations can be counted by hand."""

    def __init__(self) -> None:
        with torch.device("meta"):
            self.module: nn.Module = nn.Sequential(nn.Linear(3, 5, bias=False), nn.Linear(5, 2, bias=False))
        self.matrices: list[nn.Parameter] = []

    def loss(self, train_step: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": self.module(torch.zeros(7, 3, device="meta")).sum()}


def test_forward_and_backward_are_counted() -> None:
    first, second = 2 * 7 * 3 * 5, 2 * 7 * 5 * 2
    # Backward: weights of both layers, and the input of the second alone.
    assert step_flops(TwoLayers()) == 2 * first + 3 * second


@pytest.mark.parametrize("model", ["direct", "diamond-vae", "diamond-ae", "diamond", "diamond-small"])
def test_every_training_of_a_model_is_counted(model: ModelName) -> None:
    config = make_config("flappy", "smoke", model=model, device="cpu")
    costs = training_flops(config)
    asked = (config.train, config.train_autoencoder, config.train_upsampler)
    assert len(costs) == sum(settings is not None for settings in asked)
    assert all(cost > 1e9 for cost in costs.values())


def test_twice_the_budget_is_twice_the_steps_of_everything() -> None:
    config = make_config("flappy", "smoke", model="diamond-vae", device="cpu")
    total = sum(training_flops(config).values())
    changes = within_budget(config, 2.0 * total)
    twice = make_config("flappy", "smoke", model="diamond-vae", device="cpu", overrides=changes)
    assert twice.diamond_vae.num_steps == 2 * config.diamond_vae.num_steps
    assert twice.autoencoder.num_steps == 2 * config.autoencoder.num_steps
    assert sum(training_flops(twice).values()) == pytest.approx(2 * total)
    assert within_budget(config, float(total)) == {}
    assert deep_merge({"diamond_vae": {"seed": 3}}, changes)["diamond_vae"]["seed"] == 3


def test_a_budget_without_a_step_is_refused() -> None:
    config = make_config("pokemon", "smoke", model="layered", device="cpu")
    with pytest.raises(ConfigError, match="budget"):
        within_budget(config, 1.0)
