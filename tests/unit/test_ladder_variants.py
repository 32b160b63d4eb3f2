"""Trained models played otherwise than their card says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from storage.clips import ClipReader
from tests.direct_data import make_dataset
from tests.latent_data import diamond_vae_settings, make_autoencoder, make_latents
from worldgen_core.batch import array_to_tensor
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.ladder.settings import Played
from worldgen_core.ladder.variants import RoundResults, open_played
from worldgen_core.models.dreams import TensorDreams
from worldgen_core.progress import silent
from worldgen_core.training.diamond_vae import train_diamond_vae


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("variants") / "data")


@pytest.fixture(scope="module")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    autoencoder = make_autoencoder(dataset, root / "autoencoder")
    latents = make_latents(dataset, autoencoder, root / "latents")
    out = root / "out"
    out.mkdir()
    train_diamond_vae(
        diamond_vae_settings(),
        dataset,
        latents,
        autoencoder,
        None,
        out=out,
        resume=root / "resume",
        progress=silent,
    )
    return out


def dream(model: Path, played: Played, dataset: Path) -> torch.Tensor:
    opened = open_played(model, played)
    clip = ClipReader(dataset).read("e0", 0, opened.num_context_frames)
    opened.reset(
        array_to_tensor(clip.frames[None]), torch.zeros(1, len(clip.frames) - 1, dtype=torch.int64), seed=0
    )
    return torch.cat([opened.step(torch.tensor([1])).frame for _ in range(4)])


def test_results_are_rounded_inside_a_network_and_only_there() -> None:
    layer = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    plain = layer(x)
    RoundResults(torch.float16).surround(layer)
    rounded = layer(x)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, plain.half().float())
    assert not torch.equal(rounded, plain)
    assert torch.equal(x * (1 + 1e-6), torch.mul(x, 1 + 1e-6))  # outside nothing is rounded
    assert not torch.equal((x * (1 + 1e-6)).half().float(), x * (1 + 1e-6))


def test_what_float16_cannot_hold_becomes_infinite_and_bf16_holds_it() -> None:
    for dtype, expected in ((torch.float16, float("inf")), (torch.bfloat16, 99840.0)):
        layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(layer.weight, 1.0)
        RoundResults(dtype).surround(layer)
        assert layer(torch.tensor([[1e5]])).item() == expected


def test_a_network_that_fails_leaves_nothing_rounded() -> None:
    layer = nn.Linear(3, 2)
    RoundResults(torch.float16).surround(layer)
    with pytest.raises(RuntimeError):
        layer(torch.zeros(4, 5))
    third = torch.ones(1) / 3
    assert third.item() != third.half().item()


def test_every_network_is_rounded_in_an_opened_model(
    model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded: list[str] = []
    dispatch = RoundResults.__torch_dispatch__

    def note(self: RoundResults, func: Any, *args: Any, **named: Any) -> Any:
        rounded.append(str(func))
        return dispatch(self, func, *args, **named)

    played = Played(model="diamond-vae", precision="bf16")
    monkeypatch.setattr(RoundResults, "__torch_dispatch__", note)
    opened = open_played(model, played)
    clip = ClipReader(dataset).read("e0", 0, opened.num_context_frames)
    opened.reset(
        array_to_tensor(clip.frames[None]), torch.zeros(1, len(clip.frames) - 1, dtype=torch.int64), seed=0
    )
    rounded.clear()
    opened.step(torch.tensor([1]))
    assert isinstance(opened, TensorDreams)
    body = sum(isinstance(layer, nn.Conv2d) for layer in opened.slots["unet"].network.modules())
    decoder = sum(isinstance(layer, nn.Conv2d) for layer in opened.slots["decoder"].network.modules())
    # Two sampler steps; what attention and a position map do is no convolution.
    assert sum("conv" in name for name in rounded) >= 2 * body + decoder
    assert any("addmm" in name or "linear" in name for name in rounded)  # the conditioning


def test_a_shorter_float_changes_the_dream_a_little_and_bf16_more(model: Path, dataset: Path) -> None:
    plain, half, brain = (
        dream(model, Played(model="diamond-vae", precision=precision), dataset).float()
        for precision in ("float32", "float16", "bf16")
    )
    errors = [float((other - plain).abs().mean()) for other in (half, brain)]
    assert 0 < errors[1] < 40
    assert errors[0] < errors[1]


def test_steps_of_the_card_are_changed(model: Path, dataset: Path) -> None:
    plain = dream(model, Played(model="diamond-vae"), dataset)
    same = dream(model, Played(model="diamond-vae", changes={"sampler": {"num_steps": 2}}), dataset)
    one = dream(model, Played(model="diamond-vae", changes={"sampler": {"num_steps": 1}}), dataset)
    assert torch.equal(plain, same)
    assert not torch.equal(plain, one)


def test_another_architecture_or_setting_is_refused(model: Path) -> None:
    with pytest.raises(ConfigError, match="model"):
        open_played(model, Played(model="diamond"))
    with pytest.raises(CheckpointError, match="settings"):
        open_played(model, Played(model="diamond-vae", changes={"sampler": {"num_leaps": 1}}))
