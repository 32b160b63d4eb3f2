"""Models with random weights that keep the size of signals, for tests of the runtime."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tests.direct_data import HEIGHT, WIDTH, write_direct_model
from tests.latent_data import TINY_KL, TINY_WITH_CHANCE
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.models.autoencoder import KlAutoencoder
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
    denoiser = LatentDenoiser(TINY_WITH_CHANCE, latent_shape=space.latent_shape, num_actions=2)
    for module in (*denoiser.modules(), *network.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    sampler = SamplerSettings(num_steps=2, sigma_min=0.5)
    return DiamondVaeWorldModel(denoiser.requires_grad_(False), space.eval(), sampler, torch.device("cpu"))


def direct_folder(folder: Path) -> Path:
    """A folder of a small `direct` model."""
    torch.manual_seed(3)
    arch = DirectArchitecture(channels=(8, 16), num_blocks=(1, 1, 1), condition=8, memory=2)
    return write_direct_model(folder, DirectNetwork(arch, num_actions=2, height=HEIGHT, width=WIDTH))
