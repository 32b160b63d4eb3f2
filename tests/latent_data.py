"""Small autoencoder and latent-model settings, and folders made with them, for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.direct_data import TINY_REWARD
from worldgen_core.diffusion.edm import EdmSettings
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.models.autoencoder import KlAutoencoder, KlAutoencoderSettings
from worldgen_core.models.chance import ChanceSettings
from worldgen_core.models.inner_unet import InnerUnetSettings
from worldgen_core.models.latent_denoiser import LatentDenoiser, LatentDenoiserSettings
from worldgen_core.models.latent_space import AutoencoderCard, KlArchitecture, LatentSpace, LatentStatistics
from worldgen_core.progress import silent
from worldgen_core.training.autoencoder import train_autoencoder
from worldgen_core.training.autoencoder_settings import AutoencoderSettings, LatentSettings
from worldgen_core.training.diamond_vae_objective import DiamondVaeLossSettings
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.latents import encode_latents
from worldgen_core.training.loop_settings import LoopSettings
from worldgen_core.training.phases import make_phases
from worldgen_core.training.prior_settings import PriorFitSettings

TINY_LOOP = LoopSettings(
    warmup_steps=1, checkpoint_every=2, log_every=3, num_threads=1, device="cpu", ema_decay=0.5
)
TINY_KL = KlAutoencoderSettings(width=8, num_encoder_blocks=0, num_decoder_blocks=1)
TINY_DENOISER = LatentDenoiserSettings(
    unet=InnerUnetSettings(
        channels=(8, 16), depths=(1, 1), attention=(False, True), cond_channels=16, num_context_frames=2
    ),
    edm=EdmSettings(loc=0.0),
    has_position_map=True,
    end_width=4,
)
TINY_FIT = PriorFitSettings(num_examples=20, unroll=2, num_windows=4, batch_size=8, num_steps=4)
TINY_CHANCE = ChanceSettings(size=2, num_mixture=3, columns=1)
TINY_WITH_CHANCE = TINY_DENOISER.model_copy(update={"chance": TINY_CHANCE})


def autoencoder_settings(num_steps: int = 6) -> AutoencoderSettings:
    """Trains in a moment."""
    return AutoencoderSettings(
        seed=0,
        architecture=KlArchitecture(settings=TINY_KL),
        num_steps=num_steps,
        batch_size=4,
        num_statistics_frames=64,
        num_validation_frames=16,
        loop=TINY_LOOP,
    )


def diamond_vae_settings(num_steps: int = 6) -> DiamondVaeSettings:
    """Trains in a moment."""
    half = num_steps // 2
    return DiamondVaeSettings(
        architecture=TINY_WITH_CHANCE,
        sampler=SamplerSettings(num_steps=2, sigma_min=0.5),
        phases=make_phases((1, 3, half), (4, 2, num_steps - half)),
        loss=DiamondVaeLossSettings(dreams=True, context_noise=0.1, change_weight=1.0),
        prior=TINY_FIT,
        reward=TINY_REWARD,
        loop=TINY_LOOP,
    )


def make_autoencoder(dataset: Path, folder: Path) -> Path:
    """Train the small autoencoder on a dataset and return its folder."""
    folder.mkdir(parents=True)
    train_autoencoder(
        autoencoder_settings(), dataset, out=folder, resume=folder.with_name("r"), progress=silent
    )
    return folder


def make_latents(dataset: Path, autoencoder: Path, folder: Path) -> Path:
    """Encode a dataset and return the latents' folder."""
    settings = LatentSettings(dtype="float32", num_threads=1, device="cpu", batch_size=7)
    encode_latents(settings, dataset, autoencoder, out=folder, resume=folder, progress=silent)
    return folder


def latent_space(height: int = 16, width: int = 8) -> LatentSpace:
    """An untrained autoencoder with made-up statistics."""
    torch.manual_seed(0)
    network = KlAutoencoder(TINY_KL, height=height, width=width).requires_grad_(False)
    card = AutoencoderCard(
        architecture=KlArchitecture(settings=TINY_KL),
        game="flappy",
        height=height,
        width=width,
        statistics=LatentStatistics(mean=(0.5, 0.0, -1.0, 2.0), std=(2.0, 1.0, 0.5, 4.0)),
        num_parameters={"total": 1},
        psnr_db=0.0,
    )
    return LatentSpace(network, card)


def denoiser(shape: tuple[int, int, int] = (4, 4, 2)) -> LatentDenoiser:
    """A small denoiser whose weights are all away from zero."""
    torch.manual_seed(0)
    network = LatentDenoiser(TINY_DENOISER, latent_shape=shape, num_actions=2)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return network
