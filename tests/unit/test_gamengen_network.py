"""GameNGen's network: what it is told, what guidance leaves out, and its size."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.gamengen_data import SHAPE, TINY_NETWORK, context, network
from worldgen_core.models.gamengen_network import (
    GamengenNetwork,
    inner_convolutions,
    make_unet,
    without_frames,
)
from worldgen_core.models.gamengen_settings import GamengenNetworkSettings, GamengenUnetSettings
from worldgen_core.sizes.published import BUILT_AROUND

LEVEL = torch.tensor([5, 500, 999])


def noisy(b: int = 3) -> Tensor:
    return torch.randn(b, *SHAPE, generator=torch.Generator().manual_seed(2))


def inputs_of(made: GamengenNetwork) -> list[tuple[Tensor, Tensor, Tensor]]:
    """What the U-Net is given from now on: channels, tokens, classes."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def keep(_: object, args: tuple[Tensor, ...]) -> None:
        seen.append((args[0], args[2], args[3]))

    made.unet.register_forward_pre_hook(keep)
    return seen


def test_paper_is_stable_diffusion_but_for_its_inputs() -> None:
    with torch.device("meta"):
        stock = make_unet(GamengenUnetSettings(), num_channels_in=4, num_channels_out=4, num_noise_buckets=1)
        ours = GamengenNetwork(GamengenNetworkSettings(), latent_shape=(4, 40, 30), num_actions=2)
    published = BUILT_AROUND["gamengen", "u-net"]
    time_size = 4 * 320
    assert sum(weight.numel() for weight in stock.parameters()) - 1 * time_size == published
    wider, buckets = 64 * 4 * 320 * 3 * 3, 10 * time_size
    assert sum(weight.numel() for weight in ours.unet.parameters()) - wider - buckets == published
    assert ours.unet.conv_in.weight.shape == (320, 65 * 4, 3, 3)
    assert ours.action_tokens.weight.shape == (2, 768)
    shapes = {name: weight.shape for name, weight in ours.unet.named_parameters()}
    changed = {name for name, weight in stock.named_parameters() if shapes[name] != weight.shape}
    assert changed == {"conv_in.weight", "class_embedding.weight"}


def test_guidance_of_one_is_what_the_network_says() -> None:
    made, told = network(), context()
    assert torch.equal(made.guided(noisy(), LEVEL, told, 1.0), made(noisy(), LEVEL, told))


def test_guidance_goes_from_without_past_frames_to_with_them_and_beyond() -> None:
    made, told = network(), context()
    full, free = made(noisy(), LEVEL, told), made(noisy(), LEVEL, without_frames(told))
    torch.testing.assert_close(made.guided(noisy(), LEVEL, told, 0.0), free)
    torch.testing.assert_close(made.guided(noisy(), LEVEL, told, 1.5), free + 1.5 * (full - free))
    assert not torch.allclose(full, free)


def test_guidance_zeroes_exactly_the_past_frames() -> None:
    made, told = network(), context()._replace(bucket=torch.tensor([3, 4, 5]))
    seen = inputs_of(made)
    made.guided(noisy(), LEVEL, told, 1.5)
    [(channels, tokens, classes)] = seen
    with_past, without = channels.chunk(2)
    num = SHAPE[0]
    past = slice(num, num * 3)
    assert (with_past[:, past] != 0).all()
    assert (without[:, past] == 0).all()
    assert torch.equal(without[:, :num], with_past[:, :num])
    assert torch.equal(without[:, :num], noisy())
    assert torch.equal(without[:, num * 3 :], with_past[:, num * 3 :])
    assert torch.equal(*tokens.chunk(2))
    assert classes.tolist() == [3, 4, 5, 0, 0, 0]


def test_there_is_a_token_for_every_action_the_newest_included() -> None:
    made, told = network(), context()
    seen = inputs_of(made)
    made(noisy(), LEVEL, told)
    tokens = seen[0][1]
    assert tokens.shape == (3, TINY_NETWORK.num_context_frames, TINY_NETWORK.unet.token_size)
    torch.testing.assert_close(tokens - made.token_places, made.action_tokens(told.act))


@pytest.mark.parametrize("index", [0, 1])
def test_every_action_changes_the_very_next_frame(index: int) -> None:
    made, told = network(), context()
    act = told.act.clone()
    act[:, index] = 1 - act[:, index]
    said, other = (made(noisy(), LEVEL, value) for value in (told, told._replace(act=act)))
    assert ((said - other).flatten(1).abs().amax(dim=1) > 1e-4).all()


def test_the_order_of_actions_counts() -> None:
    made = network()
    told = context()._replace(act=torch.tensor([[0, 1]] * 3))
    swapped = told._replace(act=told.act.flip(1))
    assert not torch.allclose(made(noisy(), LEVEL, told), made(noisy(), LEVEL, swapped), atol=1e-4)


def test_another_number_of_actions_than_past_frames_is_refused() -> None:
    made, told = network(), context()
    with pytest.raises(RuntimeError):
        made(noisy(), LEVEL, told._replace(act=torch.zeros(3, 3, dtype=torch.int64)))


def test_buckets_are_equal_parts_of_the_noise() -> None:
    made = network()
    deviation = torch.tensor([0.0, 0.069, 0.071, 0.35, 0.699, 0.7])
    assert made.bucket(deviation).tolist() == [0, 0, 1, 5, 9, 9]
    calm = network(settings=TINY_NETWORK.model_copy(update={"max_context_noise": 0.0}))
    assert calm.bucket(torch.zeros(2)).tolist() == [0, 0]


def test_the_bucket_is_told() -> None:
    made, told = network(), context()
    other = made(noisy(), LEVEL, told._replace(bucket=torch.full((3,), 9)))
    assert not torch.allclose(made(noisy(), LEVEL, told), other, atol=1e-4)


def test_products_in_bf16_come_back_as_float32() -> None:
    made, told = network(), context()
    with torch.autocast("cpu", torch.bfloat16):
        said = made(noisy(), LEVEL, told)
        assert said.dtype == made.end_logit(told, said).dtype == torch.float32


def test_muon_takes_the_convolutions_of_residual_blocks() -> None:
    weights = inner_convolutions(network())
    assert len(weights) == 2 * (1 + 1 + 2 + 2 + 2)
    assert all(tuple(weight.shape[2:]) == (3, 3) for weight in weights)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="2 levels of channels, 3 of attention"):
        GamengenUnetSettings(channels=(32, 64), attention=(True, True, False))
    with pytest.raises(ValidationError, match=r"channels \[12\]"):
        GamengenUnetSettings(channels=(12, 64), attention=(False, True), num_groups=8, num_heads=2)


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_only_what_needs_diffusers_loads_it() -> None:
    """It takes seconds, and a plan or another model at play has no use for it."""
    modules = (
        "worldgen_core.config, worldgen_core.models.load, worldgen_core.models.diamond_vae, tasks.train_model"
    )
    assert python(f"import sys, {modules}; print('diffusers' in sys.modules)") == "False\n"


def test_nothing_is_fetched() -> None:
    code = """
import socket

def refuse(*_):
    raise AssertionError("a connection")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from tests.gamengen_data import context, network
import torch
said = network()(torch.zeros(1, 4, 4, 2), torch.tensor([999]), context(1))
print(tuple(said.shape))
"""
    assert python(code) == "(1, 4, 4, 2)\n"
