"""A light decoder: what it costs, the folder that holds it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.latent_data import latent_space
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.models.autoencoder import KlAutoencoder, KlAutoencoderSettings
from worldgen_core.models.latent_space import (
    AUTOENCODER_CARD_FILE,
    AUTOENCODER_WEIGHTS_FILE,
    LIGHT_PREFIX,
    LatentSpace,
    build_light_decoder,
    load_latent_space,
    save_latent_space,
)
from worldgen_core.models.light_decoder import LightDecoder, LightDecoderSettings
from worldgen_core.models.taesd import Taesd, TaesdSettings
from worldgen_core.sizes.measure import run_cost

TINY = LightDecoderSettings(width=6, num_blocks=1, fine_width=4, num_fine_blocks=1)


def light_space() -> LatentSpace:
    space = latent_space()
    light = build_light_decoder(TINY, space.network, space.card)
    for weight in light.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    light.background.fill_(0.25)
    return space.with_light_decoder(light, 21.0)


def test_it_takes_a_twenty_fifth_of_taesds_operations_at_most() -> None:
    with torch.device("meta"):
        full = Taesd(TaesdSettings())
        light = LightDecoder(LightDecoderSettings(), num_latent_channels=4, factor=8, height=240, width=320)
        z = torch.zeros(1, 4, 30, 40)
    flops = [run_cost(lambda decoder=decoder: decoder.decode(z)).flops for decoder in (light, full)]
    assert 25 * flops[0] <= flops[1]
    assert sum(weight.numel() for weight in light.parameters()) < 300_000


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_place_of_the_grid_becomes_a_patch_of_pixels(factor: int) -> None:
    light = LightDecoder(TINY, num_latent_channels=4, factor=factor, height=6 * factor, width=7 * factor)
    z = torch.randn(2, 4, 6, 7)
    assert light.decode(z).shape == (2, 3, 6 * factor, 7 * factor)
    moved = z.clone()
    moved[:, :, 0, 0] += 1
    changed = (light.decode(moved) - light.decode(z)).abs().amax(dim=(0, 1)) > 0
    assert changed[:factor, :factor].any()
    assert not changed[-1, -1]


def test_a_space_shows_with_it_and_encodes_as_before() -> None:
    space, plain, obs = light_space(), latent_space(), torch.rand(2, 3, 16, 8) * 2 - 1
    z = space.encode(obs)
    assert torch.equal(z, plain.encode(obs))
    assert space.light_decoder is not None
    raw = z * space.std + space.mean
    torch.testing.assert_close(space.decode(z), space.light_decoder.decode(raw).clamp(-1, 1))
    assert not torch.equal(space.decode(z), plain.decode(z))


def test_the_folder_holds_both_decoders_and_the_card_says_so(tmp_path: Path) -> None:
    space, z = light_space(), torch.randn(1, 4, 4, 2)
    save_latent_space(space, tmp_path)
    loaded = load_latent_space(tmp_path)
    assert loaded.card == space.card
    assert torch.equal(loaded.decode(z), space.decode(z))
    assert torch.equal(loaded.network.decode(z), space.network.decode(z))
    assert not any(weight.requires_grad for weight in loaded.parameters())
    card = json.loads((tmp_path / AUTOENCODER_CARD_FILE).read_text())
    assert card["light_decoder"]["settings"] == TINY.model_dump()
    assert card["light_decoder"]["psnr_db"] == 21.0
    assert loaded.light_decoder is not None
    count = sum(weight.numel() for weight in loaded.light_decoder.parameters())
    assert card["num_parameters"] == {"light_decoder": count, "total": 1 + count}
    assert loaded.without_light_decoder().card == latent_space().card


def test_another_light_decoder_takes_the_place_of_the_first() -> None:
    space = light_space()
    again = space.with_light_decoder(build_light_decoder(TINY, space.network, space.card), 30.0)
    assert again.card.num_parameters == space.card.num_parameters
    assert again.card.light_decoder is not None
    assert again.card.light_decoder.psnr_db == 30.0


def drop_a_weight(path: Path) -> None:
    weights = load_file(path)
    del weights[f"{LIGHT_PREFIX}coarse.0.weight"]
    save_file(weights, path)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("damage", "named"),
    [(drop_a_weight, "light decoder: coarse.0.weight"), (cut_off, AUTOENCODER_WEIGHTS_FILE)],
)
def test_damaged_weights_are_refused(tmp_path: Path, damage: Callable[[Path], None], named: str) -> None:
    save_latent_space(light_space(), tmp_path)
    damage(tmp_path / AUTOENCODER_WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=named):
        load_latent_space(tmp_path)


@pytest.mark.parametrize("changes", [None, {"settings": {"width": 7}, "psnr_db": 1.0}, {"width": 6}])
def test_a_card_that_does_not_fit_the_weights_is_refused(tmp_path: Path, changes: object) -> None:
    save_latent_space(light_space(), tmp_path)
    path = tmp_path / AUTOENCODER_CARD_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "light_decoder": changes}))
    with pytest.raises(CheckpointError):
        load_latent_space(tmp_path)


def test_a_grid_that_cannot_be_halved_is_refused() -> None:
    network = KlAutoencoder(KlAutoencoderSettings(factor=3, width=4), height=6, width=6)
    with pytest.raises(ConfigError, match="expected a multiple of 2; found 3"):
        build_light_decoder(TINY, network, latent_space().card)
