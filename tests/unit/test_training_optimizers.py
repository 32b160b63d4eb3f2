"""AdamW against torch's own, Muon against what it promises, the average against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from worldgen_core.training.ema import WeightAverage
from worldgen_core.training.loop_settings import OptimizerSettings
from worldgen_core.training.optimizers import MuonAdamW, orthogonalise


def _gradients(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)


def test_adamw_agrees_with_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    settings = OptimizerSettings(rate=0.01, beta2=0.98, weight_decay=0.1)
    groups = [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0}]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.98), eps=1e-8)
    optimizer = MuonAdamW(ours, settings, [])
    for train_step in range(5):
        _gradients(ours, train_step)
        _gradients(theirs, train_step)
        optimizer.step(train_step, 1.0)
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


@pytest.mark.parametrize("shape", [(2, 8, 20), (3, 20, 8)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_muon_moves_only_the_matrices_it_was_given() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    first = module[0].weight
    assert isinstance(first, nn.Parameter)
    optimizer = MuonAdamW(module, OptimizerSettings(rate=1e-3, muon_rate=0.02), [first])
    _gradients(module, 0)
    optimizer.step(0, 1.0)
    change = (module.state_dict()["0.weight"] - before["0.weight"]).flatten(1)
    assert 0.3 < torch.linalg.svdvals(change / 0.02).mean() < 1.3
    adam = (module.state_dict()["1.weight"] - before["1.weight"]).abs()
    torch.testing.assert_close(adam, torch.full_like(adam, 1e-3))
    assert set(optimizer.state_dict()) == {
        "momentum/0.weight",
        *(f"{kind}/{name}" for kind in ("mean", "square") for name in ("0.bias", "1.weight", "1.bias")),
    }


def test_average_follows_its_formula_and_leaves_buffers_alone() -> None:
    module = nn.BatchNorm1d(1)
    average = WeightAverage(module, 0.5)
    with torch.no_grad():
        module.weight.fill_(3.0)
    average.update(module, train_step=1000)
    state = average.state_dict(module)
    assert state["weight"].item() == pytest.approx(2.0)
    assert state["running_var"].item() == 1.0
    average.update(module, train_step=0)
    assert average.state_dict(module)["weight"].item() == pytest.approx(2.0 + 0.9)
