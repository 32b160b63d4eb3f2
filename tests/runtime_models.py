"""Models with random weights that keep the size of signals, for tests of the runtime."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tests.direct_data import HEIGHT, WIDTH
from tests.latent_data import TINY_DENOISER, TINY_KL
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.models.autoencoder import KlAutoencoder
from worldgen_core.models.card import WEIGHTS_FILE, ModelCard, count_parameters, write_card, write_weights
from worldgen_core.models.diamond_vae import DiamondVaeWorldModel
from worldgen_core.models.direct_network import DirectArchitecture, DirectNetwork
from worldgen_core.models.latent_denoiser import LatentDenoiser
from worldgen_core.models.latent_space import AutoencoderCard, KlArchitecture, LatentSpace, LatentStatistics


def latent_model() -> DiamondVaeWorldModel:
    """A small `diamond-vae`; every call returns the same one."""
    torch.manual_seed(0)
    network = KlAutoencoder(TINY_KL, height=HEIGHT, width=WIDTH)
    card = AutoencoderCard(
        architecture=KlArchitecture(settings=TINY_KL),
        game="flappy",
        height=HEIGHT,
        width=WIDTH,
        statistics=LatentStatistics(mean=(0.0,) * 4, std=(1.0,) * 4),
        num_parameters={},
        psnr_db=0.0,
    )
    space = LatentSpace(network, card)
    denoiser = LatentDenoiser(TINY_DENOISER, latent_shape=space.latent_shape, num_actions=2)
    for module in (*denoiser.modules(), *network.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    sampler = SamplerSettings(num_steps=2, sigma_min=0.5)
    return DiamondVaeWorldModel(denoiser.requires_grad_(False), space.eval(), sampler, torch.device("cpu"))


def write_direct_model(folder: Path) -> Path:
    """A folder of a small `direct` model."""
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    arch = DirectArchitecture(channels=(8, 16), num_blocks=(1, 1, 1), condition=8, memory=2)
    network = DirectNetwork(arch, num_actions=2, height=HEIGHT, width=WIDTH)
    card = ModelCard(
        model="direct",
        game="flappy",
        action_names=("idle", "flap"),
        height=HEIGHT,
        width=WIDTH,
        fps=30.0,
        settings=arch.model_dump(mode="json"),
        num_parameters=count_parameters(network),
        dataset={"name": "tiny"},
        training={},
        weights_sha256={WEIGHTS_FILE: write_weights(folder, network.state_dict())},
    )
    write_card(folder, card)
    return folder
