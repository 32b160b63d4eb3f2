"""Stable Diffusion's autoencoder: same as diffusers', its size, and which files are taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.direct_data import make_dataset
from tests.latent_data import TINY_LOOP
from worldgen_core.config import make_config
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.models.autoencoder import FrameAutoencoder
from worldgen_core.models.latent_space import SdVaeArchitecture, load_latent_space
from worldgen_core.models.sd_vae import CONFIG_FILE, WEIGHTS_FILE, SdVae, SdVaeSettings, load_sd_vae
from worldgen_core.progress import silent
from worldgen_core.rows import Part, part_generator, take_part
from worldgen_core.training.autoencoder import train_autoencoder
from worldgen_core.training.autoencoder_settings import AutoencoderSettings


class _Batch(NamedTuple):
    obs: Tensor


TINY = SdVaeSettings(channels=(4, 8), num_blocks=1, num_groups=2)


def write_folder(folder: Path) -> AutoencoderKL:
    """A small AutoencoderKL as diffusers saves it."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "block_out_channels": (4, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "layers_per_block": 1,
        "norm_num_groups": 2,
    }
    network = AutoencoderKL(**sizes)
    network.save_pretrained(folder)
    return network.eval()


def frames() -> Tensor:
    return torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1


def change_config(folder: Path, **changes: object) -> None:
    path = folder / CONFIG_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@torch.no_grad()
def test_a_folder_of_diffusers_gives_the_same_latents_and_frames(tmp_path: Path) -> None:
    theirs = write_folder(tmp_path)
    ours = load_sd_vae(tmp_path).eval()
    assert isinstance(ours, FrameAutoencoder)
    assert ours.settings == TINY
    assert (ours.factor, ours.num_latent_channels) == (2, 4)
    posterior: Any = theirs.encode(frames(), return_dict=False)[0]
    torch.testing.assert_close(ours.encode(frames()), posterior.mean)
    z: Any = posterior.mean
    torch.testing.assert_close(ours.decode(z), theirs.decode(z, return_dict=False)[0])
    drawn = ours.draw(frames(), torch.Generator().manual_seed(2))
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(drawn.z, posterior.mean + posterior.std * noise)
    torch.testing.assert_close(drawn.kl, posterior.kl().mean() / z[0].numel())


def test_files_of_before_2023_load_too(tmp_path: Path) -> None:
    write_folder(tmp_path)
    plain = load_sd_vae(tmp_path).state_dict()
    path, names = (
        tmp_path / WEIGHTS_FILE,
        {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"},
    )
    old: dict[str, Tensor] = {}
    for name, value in load_file(path).items():
        found = [part for part in names if f".{part}." in name]
        renamed = name.replace(found[0], names[found[0]]) if found else name
        is_matrix = bool(found) and value.ndim == 2
        old[renamed] = value[:, :, None, None].contiguous() if is_matrix else value
    assert any("proj_attn" in name for name in old)
    save_file(old, path)
    loaded = load_sd_vae(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in plain.items())


def test_it_has_the_published_size() -> None:
    """83,653,863 parameters, counted from diffusers' AutoencoderKL as Stable Diffusion 1.4 sets it up."""
    with torch.device("meta"):
        network = SdVae(SdVaeSettings())
    assert sum(weight.numel() for weight in network.parameters()) == 83_653_863
    config = make_config("flappy", "paper", model="gamengen", device="cpu").train_autoencoder
    assert config is not None
    assert config.architecture == SdVaeArchitecture()
    assert network.factor == 8


def test_what_is_no_such_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the configuration of an AutoencoderKL"):
        load_sd_vae(tmp_path / "nowhere")
    write_folder(tmp_path)
    change_config(tmp_path, block_out_channels=[8, 8])
    with pytest.raises(CheckpointError, match="tensors differ"):
        load_sd_vae(tmp_path)
    change_config(tmp_path, act_fn="relu")
    with pytest.raises(CheckpointError, match="act_fn silu"):
        load_sd_vae(tmp_path)
    change_config(tmp_path, norm_num_groups=3)
    with pytest.raises(CheckpointError, match="no multiples of 3 groups"):
        load_sd_vae(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"\x80\x04pickle")
    change_config(tmp_path, block_out_channels=[4, 8], act_fn="silu", norm_num_groups=2)
    with pytest.raises(CheckpointError, match=WEIGHTS_FILE):
        load_sd_vae(tmp_path)


def settings(folder: Path | None, num_steps: int, architecture: SdVaeSettings) -> AutoencoderSettings:
    return AutoencoderSettings(
        seed=0,
        architecture=SdVaeArchitecture(settings=architecture),
        weights_folder=folder,
        trains_encoder=False,
        num_steps=num_steps,
        batch_size=2,
        loop=TINY_LOOP,
    )


def test_only_the_decoder_is_tuned_and_the_folder_opens(tmp_path: Path) -> None:
    write_folder(tmp_path / "sd")
    dataset, out = make_dataset(tmp_path / "data"), tmp_path / "out"
    out.mkdir()
    train_autoencoder(
        settings(tmp_path / "sd", 2, TINY), dataset, out=out, resume=tmp_path / "r", progress=silent
    )
    before, after = load_sd_vae(tmp_path / "sd").state_dict(), load_latent_space(out).network.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    other = settings(tmp_path / "sd", 0, SdVaeSettings(channels=(8, 8), num_groups=2))
    with pytest.raises(ConfigError, match=r"channels=\(4, 8\)"):
        train_autoencoder(other, dataset, out=out, resume=tmp_path / "r2", progress=silent)


def test_channels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="no multiples of 32 groups"):
        SdVaeSettings(channels=(128, 200))


@torch.no_grad()
def test_parts_of_a_batch_are_drawn_as_in_the_whole(tmp_path: Path) -> None:
    write_folder(tmp_path)
    network = load_sd_vae(tmp_path).eval()
    batch = _Batch(torch.cat([frames(), -frames()]))

    def drawn(index: int, count: int) -> Tensor:
        generator = part_generator(3, Part(index, count))
        obs = take_part(batch, generator).obs
        return network.draw(obs, generator).z

    whole = drawn(0, 1)
    for index in range(2):
        torch.testing.assert_close(drawn(index, 2), whole[index::2])
