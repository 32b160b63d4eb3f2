"""A `diamond-vae` of any size with random weights, as it is played: speed needs no trained ones."""

from __future__ import annotations

import torch
from torch import nn

from worldgen_core.config import Config
from worldgen_core.models.diamond_vae import DiamondVaeWorldModel
from worldgen_core.models.latent_denoiser import LatentDenoiser
from worldgen_core.models.latent_space import (
    AutoencoderCard,
    LatentSpace,
    LatentStatistics,
    build_autoencoder,
    build_light_decoder,
)
from worldgen_core.models.played_unet import PlayedUnet
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings


def random_model(
    config: Config, *, num_actions: int, size: tuple[int, int], is_plain: bool = False
) -> DiamondVaeWorldModel:
    """Build the configured model for frames of (height, width), the same weights every time.

    Weights are drawn so that signals keep their size on their way through: errors of a backend are then
    neither hidden nor blown up. Plain: the network as it is trained, with nothing remembered and the default
    memory layout.
    """
    torch.manual_seed(0)
    space = _random_space(config, size)
    settings = config.train
    assert isinstance(settings, DiamondVaeSettings)
    denoiser = LatentDenoiser(
        settings.architecture, latent_shape=space.latent_shape, num_actions=num_actions
    ).requires_grad_(False)
    _keep_variance(denoiser)
    model = DiamondVaeWorldModel(denoiser, space, settings.sampler, torch.device("cpu"))
    if is_plain:
        assert isinstance(denoiser.unet, PlayedUnet)
        denoiser.unet = denoiser.own_unet
        for module in (denoiser, space):
            module.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  # missing overload
    return model


def _random_space(config: Config, size: tuple[int, int]) -> LatentSpace:
    assert config.train_autoencoder is not None
    architecture, (height, width) = config.train_autoencoder.architecture, size
    network = build_autoencoder(architecture, height=height, width=width)
    card = AutoencoderCard(
        architecture=architecture,
        game=config.train.game,
        height=height,
        width=width,
        statistics=LatentStatistics(
            mean=(0.0,) * network.num_latent_channels, std=(1.0,) * network.num_latent_channels
        ),
        num_parameters={"total": 0},
        psnr_db=0.0,
    )
    _keep_variance(network)
    space = LatentSpace(network.requires_grad_(False), card).eval()
    if not config.distil_decoder.is_on:
        return space
    light = build_light_decoder(config.distil_decoder.architecture, network, card)
    _keep_variance(light)
    return space.with_light_decoder(light, psnr_db=0.0)


def _keep_variance(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="linear")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
