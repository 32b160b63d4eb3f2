"""What models cost: against the published counts, and against sums done by hand."""

from __future__ import annotations

import json
from functools import cache
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

from worldgen_core.config import make_config
from worldgen_core.models.card import count_parameters
from worldgen_core.models.direct_network import DirectNetwork
from worldgen_core.names import ModelName, ProfileName
from worldgen_core.sizes import table
from worldgen_core.sizes.measure import run_cost
from worldgen_core.sizes.parts import PARTS_OF
from worldgen_core.sizes.published import PUBLISHED

model_size = cache(table.model_size)


@pytest.mark.parametrize(("model", "num_actions"), sorted(PUBLISHED))
def test_paper_sizes_have_the_published_number_of_parameters(model: ModelName, num_actions: int) -> None:
    found = {part.name: part for part in model_size(model, "paper", num_actions).parts}
    for name, count in PUBLISHED[model, num_actions].items():
        assert found[name].num_parameters == found[name].published_parameters == count


def test_nothing_is_called_published_that_is_not() -> None:
    sizes = [model_size("diamond-vae", "laptop", 2), model_size("diamond-vae", "paper", 3)]
    assert all(part.published_parameters is None for size in sizes for part in size.parts)


def test_a_convolution_costs_what_is_worked_out_by_hand() -> None:
    with torch.device("meta"):
        conv, x = nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 10, 12)
    cost = run_cost(lambda: conv(x))
    assert cost.flops == 2 * (3 * 9) * 8 * 10 * 12
    assert cost.activation_bytes == 4 * 8 * 10 * 12


def test_attention_counts() -> None:
    with torch.device("meta"):
        x = torch.zeros(1, 2, 50, 8)
    cost = run_cost(lambda: functional.scaled_dot_product_attention(x, x, x))
    assert cost.flops == 2 * (2 * 2 * 50 * 50 * 8)


def test_memory_is_the_peak_and_not_the_sum() -> None:
    def run() -> None:
        first = torch.zeros(100)
        second = first + 1
        del first
        third = second + 1
        del second
        third.sum()

    assert run_cost(run).activation_bytes == 4 * 200


def test_every_model_has_a_size_in_every_profile() -> None:
    assert set(PARTS_OF) == set(get_args(ModelName))
    for model in PARTS_OF:
        sizes = [model_size(model, profile, 2) for profile in get_args(ProfileName)]
        assert sorted(sizes, key=lambda size: size.num_parameters) == sizes
        assert all(size.flops_per_frame > 0 for size in sizes)
        assert all(size.memory_bytes > 4 * size.num_parameters for size in sizes)


def test_actions_cost_parameters() -> None:
    few, many = (model_size("diamond-vae", "paper", num) for num in (2, 9))
    assert many.num_parameters - few.num_parameters == 7 * 2048 // 4


def test_parts_add_up_to_the_network_that_is_trained() -> None:
    config = make_config("flappy", "laptop", device="cpu")
    arch = config.direct.architecture.with_new_content_right(4)
    network = DirectNetwork(arch, num_actions=2, height=128, width=72)
    assert count_parameters(network)["total"] == model_size("direct", "laptop", 2).num_parameters


def test_command_prints_json_and_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.cli.app import app

    monkeypatch.setattr(table, "model_sizes", lambda num_actions: [model_size("diamond-vae", "paper", 2)])
    size = json.loads(CliRunner().invoke(app, ["models", "--num-actions", "2", "--json"]).stdout)[0]
    assert size["num_parameters"] == sum(part["num_parameters"] for part in size["parts"])
    assert {"flops_per_frame", "memory_bytes"} <= set(size)
    shown = CliRunner().invoke(app, ["models"], env={"COLUMNS": "140"}).stdout
    assert "73,830,788" in shown
    assert shown.count("the same") == 3
