"""The direct model at play: deterministic, blind to what it must not see, refusing damaged folders."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.direct_data import write_direct_model
from worldgen_core.errors import CheckpointError, ConfigError, ContextLengthError
from worldgen_core.models.blocks import depth_to_space, space_to_depth
from worldgen_core.models.card import WEIGHTS_FILE
from worldgen_core.models.chance import Mixture
from worldgen_core.models.direct_network import DirectArchitecture, DirectNetwork
from worldgen_core.models.interface import WorldModel
from worldgen_core.models.load import load_world_model

HEIGHT, WIDTH = 16, 24
ARCH = DirectArchitecture(
    channels=(8, 8), num_blocks=(1, 1, 1), condition=8, memory=2, new_content="right", scroll=(0, -1)
)


def _network(arch: DirectArchitecture = ARCH) -> DirectNetwork:
    torch.manual_seed(3)
    network = DirectNetwork(arch, num_actions=2, height=HEIGHT, width=WIDTH)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return network


def _write(folder: Path, arch: DirectArchitecture = ARCH, *, model: str = "direct") -> Path:
    return write_direct_model(folder, _network(arch), model=model)


def _frames(num: int, *, seed: int = 0) -> Tensor:
    shape = (num, 4, HEIGHT, WIDTH, 3)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def _dream(model: WorldModel, frames: Tensor, *, seed: int = 0, truth: Tensor | None = None) -> Tensor:
    model.reset(frames, torch.zeros(len(frames), 3, dtype=torch.int64), seed=seed)
    action = torch.ones(len(frames), dtype=torch.int64)
    return torch.stack([model.step(action, truth=truth).frame for _ in range(3)], dim=1)


def test_the_folder_comes_back_as_a_world_model(tmp_path: Path) -> None:
    model = load_world_model(_write(tmp_path / "m"))
    assert (model.num_context_frames, model.num_actions, model.frame_shape) == (4, 2, (HEIGHT, WIDTH))
    assert model.takes_chance_from_truth
    model.reset(_frames(2), torch.zeros(2, 3, dtype=torch.int64), seed=0)
    prediction = model.step(torch.tensor([0, 1]))
    assert prediction.frame.shape == (2, HEIGHT, WIDTH, 3)
    assert prediction.reward is None
    assert prediction.terminated is not None
    assert ((prediction.terminated > 0) & (prediction.terminated < 1)).all()


def test_same_seed_same_dream_and_rows_do_not_meet(tmp_path: Path) -> None:
    model, frames = load_world_model(_write(tmp_path / "m")), _frames(3)
    dream = _dream(model, frames)
    assert torch.equal(dream, _dream(model, frames))
    assert not torch.equal(dream, _dream(model, frames, seed=1))
    difference = dream[:1].int() - _dream(model, frames[:1]).int()
    assert difference.abs().max() <= 1  # another batch size may round another way


def test_only_the_border_of_the_truth_is_looked_at(tmp_path: Path) -> None:
    model, frames, truth = load_world_model(_write(tmp_path / "m")), _frames(1), _frames(1, seed=5)[:, 0]
    elsewhere, border = truth.clone(), truth.clone()
    elsewhere[:, :, : WIDTH - 4] = 0
    border[:, :, WIDTH - 4 :] = 0
    dream = _dream(model, frames, truth=truth)
    assert torch.equal(dream, _dream(model, frames, truth=elsewhere))
    assert not torch.equal(dream, _dream(model, frames, truth=border))


def test_without_assumptions_the_encoder_looks_everywhere_and_nothing_scrolls(tmp_path: Path) -> None:
    neutral = ARCH.model_copy(update={"new_content": "anywhere", "scroll": (0, 0)})
    model = load_world_model(_write(tmp_path / "m", neutral))
    truth = _frames(1, seed=5)[:, 0]
    changed = truth.clone()
    changed[:, :, :4] = 0
    assert not torch.equal(_dream(model, _frames(1), truth=truth), _dream(model, _frames(1), truth=changed))


def test_a_fresh_network_predicts_the_scrolled_foreground() -> None:
    network = DirectNetwork(ARCH, num_actions=2, height=HEIGHT, width=WIDTH)
    obs = torch.rand(1, 3, HEIGHT, WIDTH)
    cells = space_to_depth(obs, 4)
    assert torch.equal(depth_to_space(cells, 4), obs)
    act, chance = torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4)
    out = network([cells] * 4, act, chance, network.start_memory(1))
    expected = torch.zeros_like(obs)
    expected[..., :-1] = obs[..., 1:]
    torch.testing.assert_close(depth_to_space(out.cells, 4), expected, atol=0.02, rtol=0)


def test_deaths_do_not_bend_the_flight() -> None:
    network = _network()
    cells = torch.randn(1, network.cells, *network.grid)
    act, chance = torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4)
    network([cells] * 4, act, chance, network.start_memory(1)).end_logit.sum().backward()
    touched = {name.split(".")[0] for name, weight in network.named_parameters() if weight.grad is not None}
    assert touched == {"end"}


def test_mixture_density_agrees_with_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    log_weight = torch.randn(2, 5, generator=generator).log_softmax(1)
    mean, log_std = torch.randn(2, 5, 3, generator=generator), torch.randn(2, 5, 3, generator=generator)
    value = torch.randn(2, 3, generator=generator)
    parts = torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp()), 1)
    reference = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=log_weight), parts
    )
    torch.testing.assert_close(Mixture(log_weight, mean, log_std).log_prob(value), reference.log_prob(value))


def test_mixture_draws_from_its_heaviest_part() -> None:
    log_weight = torch.tensor([[0.0, -50.0], [-50.0, 0.0]])
    mean = torch.tensor([[[1.0], [2.0]], [[1.0], [2.0]]])
    mixture = Mixture(log_weight, mean, torch.full_like(mean, -10.0))
    drawn = mixture.sample([torch.Generator().manual_seed(row) for row in range(2)])
    torch.testing.assert_close(drawn, torch.tensor([[1.0], [2.0]]), atol=1e-3, rtol=0)


def test_another_number_of_context_frames_is_refused(tmp_path: Path) -> None:
    model = load_world_model(_write(tmp_path / "m"))
    with pytest.raises(ContextLengthError, match="4 context frames"):
        model.reset(_frames(1)[:, :3], torch.zeros(1, 2, dtype=torch.int64), seed=0)


def _truncate(data: bytes) -> bytes:
    return data[:-9]


def _flip(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def _pickle(_data: bytes) -> bytes:
    return pickle.dumps({"weights": 1})


@pytest.mark.parametrize("damage", [_truncate, _flip, _pickle])
def test_damaged_weights_are_refused(tmp_path: Path, damage) -> None:
    path = _write(tmp_path / "m") / WEIGHTS_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=WEIGHTS_FILE):
        load_world_model(tmp_path / "m")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path / "m")
    card = folder / "model.json"
    card.write_text(card.read_text().replace('"memory": 2', '"memory": 3'))
    with pytest.raises(CheckpointError, match="tensors differ"):
        load_world_model(folder)


def test_unknown_models_and_missing_cards_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'else'"):
        load_world_model(_write(tmp_path / "m", model="else"))
    with pytest.raises(CheckpointError, match=r"model\.json"):
        load_world_model(tmp_path)
