"""The two autoencoders: shapes, the latent's noise and price, TAESD's file layout."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.closed_form import wave, wave_weights
from worldgen_core.errors import CheckpointError
from worldgen_core.models.autoencoder import KlAutoencoder, KlAutoencoderSettings
from worldgen_core.models.taesd import CONFIG_FILE, WEIGHTS_FILE, Taesd, TaesdSettings, load_taesd


def small_kl() -> KlAutoencoder:
    torch.manual_seed(0)
    return KlAutoencoder(KlAutoencoderSettings(factor=4, width=8), height=16, width=8)


def test_kl_autoencoder_shapes() -> None:
    network, obs = small_kl(), torch.rand(2, 3, 16, 8) * 2 - 1
    z = network.encode(obs)
    assert z.shape == (2, 4, 4, 2)
    assert network.decode(z).shape == obs.shape


def test_background_is_taken_off_and_put_back() -> None:
    network = small_kl()
    background = torch.rand(3, 16, 8)
    before = network.encode(torch.zeros(1, 3, 16, 8)), network.decode(torch.ones(1, 4, 4, 2))
    network.background.copy_(background)
    torch.testing.assert_close(network.encode(background[None]), before[0])
    torch.testing.assert_close(network.decode(torch.ones(1, 4, 4, 2)), before[1] + background)


def test_draws_scatter_around_the_mean_by_the_posteriors_spread() -> None:
    network, obs = small_kl(), torch.rand(1, 3, 16, 8).expand(500, -1, -1, -1)
    last = network.encoder[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.weight[4:].zero_()
        last.bias[4:] = math.log(0.3**2)
    z = network.draw(obs, torch.Generator().manual_seed(0)).z
    torch.testing.assert_close(z.mean(0), network.encode(obs[:1])[0], rtol=0, atol=0.06)
    torch.testing.assert_close(z.std(0), torch.full((4, 4, 2), 0.3), rtol=0.15, atol=0)


def published_size(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_a_plain_autoencoder_draws_what_it_encodes_and_pays_nothing() -> None:
    network = KlAutoencoder(KlAutoencoderSettings(width=8, is_plain=True), height=16, width=8)
    obs = torch.rand(2, 3, 16, 8) * 2 - 1
    draw = network.draw(obs, torch.Generator().manual_seed(0))
    torch.testing.assert_close(draw.z, network.encode(obs))
    assert draw.kl == 0
    regularised = KlAutoencoder(KlAutoencoderSettings(width=8), height=16, width=8)
    assert regularised.encode(obs).shape == draw.z.shape
    assert sum(w.numel() for w in regularised.parameters()) > sum(w.numel() for w in network.parameters())


def test_taesd_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = Taesd(TaesdSettings())
    assert published_size(network.encoder) == 1_222_532
    assert published_size(network.decoder) == 1_222_531


def test_taesd_gives_float32_where_products_are_bf16() -> None:
    network = Taesd(TaesdSettings(width=8))
    with torch.autocast("cpu", torch.bfloat16):
        z = network.encode(torch.zeros(1, 3, 16, 16))
        assert z.dtype == network.decode(z).dtype == torch.float32


def write_taesd(folder: Path, network: Taesd, **changes: object) -> None:
    """A small folder in the layout that `AutoencoderTiny.save_pretrained` writes."""
    width = network.settings.width
    config = {
        "_class_name": "AutoencoderTiny",
        "act_fn": "relu",
        "latent_channels": network.settings.num_latent_channels,
        "encoder_block_out_channels": [width] * 4,
        "decoder_block_out_channels": [width] * 4,
        "num_encoder_blocks": [1, 3, 3, 3],
        "num_decoder_blocks": [3, 3, 3, 1],
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    save_file({name: value.half() for name, value in network.state_dict().items()}, folder / WEIGHTS_FILE)


def test_taesd_folder_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Taesd(TaesdSettings(width=8)).half().float()
    write_taesd(tmp_path, network)
    loaded = load_taesd(tmp_path)
    obs = torch.rand(1, 3, 16, 24) * 2 - 1
    z = loaded.encode(obs)
    assert z.shape == (1, 4, 2, 3)
    torch.testing.assert_close(z, network.encode(obs))
    torch.testing.assert_close(loaded.decode(z), network.decode(z))
    drawn = loaded.draw(obs, torch.Generator())
    assert torch.equal(drawn.z, z)
    assert drawn.kl.item() == pytest.approx(z.square().mean().item() / 2)


@torch.no_grad()
def test_taesd_agrees_with_the_authors_code() -> None:
    reference = json.loads((Path(__file__).parents[1] / "references" / "taesd.json").read_text())
    network = Taesd(TaesdSettings())
    network.load_state_dict(wave_weights({k: tuple(v.shape) for k, v in network.state_dict().items()}))
    z = network.encode(wave((1, 3, 16, 8), 3.0))
    torch.testing.assert_close(z.flatten(), torch.tensor(reference["latent"]), rtol=1e-5, atol=1e-6)
    picture = (network.decode(4 * wave((1, 4, 2, 1), 4.0)) + 1) / 2
    torch.testing.assert_close(picture.flatten(), torch.tensor(reference["picture"]), rtol=1e-5, atol=1e-6)


def test_taesd_names_are_those_of_the_published_files() -> None:
    names = set(Taesd(TaesdSettings(width=8)).state_dict())
    assert {"encoder.layers.0.weight", "encoder.layers.14.bias", "encoder.layers.13.conv.4.weight"} <= names
    assert {"decoder.layers.0.weight", "decoder.layers.18.bias", "decoder.layers.6.weight"} <= names
    assert not {"encoder.layers.2.bias", "decoder.layers.6.bias", "decoder.layers.1.weight"} & names


def test_taesd_folder_of_another_network_is_refused(tmp_path: Path) -> None:
    network = Taesd(TaesdSettings(width=8))
    write_taesd(tmp_path, network, act_fn="silu")
    with pytest.raises(CheckpointError, match="act_fn relu; found silu"):
        load_taesd(tmp_path)
    write_taesd(tmp_path, network, latent_channels=16)
    with pytest.raises(CheckpointError, match=r"decoder\.layers\.0\.weight"):
        load_taesd(tmp_path)


def test_missing_or_damaged_taesd_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=CONFIG_FILE):
        load_taesd(tmp_path)
    write_taesd(tmp_path, Taesd(TaesdSettings(width=8)))
    (tmp_path / WEIGHTS_FILE).write_bytes(b"no tensors here")
    with pytest.raises(CheckpointError, match=WEIGHTS_FILE):
        load_taesd(tmp_path)
