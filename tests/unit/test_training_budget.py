"""Operations of a training, counted without data, and steps that keep to a budget of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from worldgen_core.config import make_config
from worldgen_core.errors import ConfigError
from worldgen_core.names import ModelName
from worldgen_core.overrides import deep_merge
from worldgen_core.sizes.budget import within_budget
from worldgen_core.sizes.flops import step_flops
from worldgen_core.sizes.training import training_flops


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


def test_trainings_of_a_decoder_and_the_dreams_of_a_prior_count_too() -> None:
    def costs_with(changes: dict[str, Any]) -> dict[str, int]:
        return training_flops(
            make_config("flappy", "smoke", model="diamond-vae", device="cpu", overrides=changes)
        )

    on = {"finetune_decoder": {"is_on": True}, "distil_decoder": {"is_on": True}}
    usual, decoders, unfitted = (
        costs_with({}),
        costs_with(on),
        costs_with({"diamond_vae": {"prior": {"num_steps": 0}}}),
    )
    assert decoders.items() > usual.items()
    assert decoders.keys() - usual.keys() == on.keys()
    assert 0 < usual["diamond_vae"] - unfitted["diamond_vae"] < unfitted["diamond_vae"]


def test_the_rows_judged_beside_a_dream_count_in_their_share() -> None:
    def cost(level_share: float) -> int:
        changes = {"diamond_vae": {"loss": {"level_share": level_share}, "prior": {"num_steps": 0}}}
        config = make_config("flappy", "smoke", model="diamond-vae", device="cpu", overrides=changes)
        return training_flops(config)["diamond_vae"]

    assert cost(0.5) / cost(0.25) == pytest.approx(1.5 / 1.25, rel=0.03)


def test_twice_the_budget_is_twice_the_steps_of_everything() -> None:
    config = make_config("flappy", "smoke", model="diamond-vae", device="cpu")
    total = sum(training_flops(config).values())
    changes = within_budget(config, 2.0 * total)
    twice = make_config("flappy", "smoke", model="diamond-vae", device="cpu", overrides=changes)
    assert twice.diamond_vae.num_steps == 2 * config.diamond_vae.num_steps
    assert twice.autoencoder.num_steps == 2 * config.autoencoder.num_steps
    assert twice.diamond_vae.prior.num_examples == 2 * config.diamond_vae.prior.num_examples
    assert sum(training_flops(twice).values()) == pytest.approx(2 * total)
    assert within_budget(config, float(total)) == {}
    assert deep_merge({"diamond_vae": {"seed": 3}}, changes)["diamond_vae"]["seed"] == 3


def test_a_budget_without_a_step_is_refused() -> None:
    config = make_config("pokemon", "smoke", model="layered", device="cpu")
    with pytest.raises(ConfigError, match="budget"):
        within_budget(config, 1.0)
