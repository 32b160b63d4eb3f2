"""A small GameNGen and settings that train it in a moment, for tests."""

from __future__ import annotations

import torch

from tests.direct_data import TINY_REWARD
from tests.latent_data import TINY_CHANCE, TINY_FIT, TINY_LOOP
from worldgen_core.diffusion.ddim_settings import DdimSettings
from worldgen_core.models.chance import no_guides
from worldgen_core.models.gamengen_network import GamengenContext, GamengenNetwork
from worldgen_core.models.gamengen_settings import GamengenNetworkSettings, GamengenUnetSettings
from worldgen_core.training.gamengen_settings import GamengenLossSettings, GamengenSettings
from worldgen_core.training.phases import make_phases

SHAPE = (4, 4, 2)
TINY_NETWORK = GamengenNetworkSettings(
    unet=GamengenUnetSettings(
        channels=(8, 16), attention=(False, True), num_blocks=1, token_size=8, num_heads=2, num_groups=4
    ),
    num_context_frames=2,
    num_place_channels=2,
    end_width=4,
)


def gamengen_settings(num_steps: int = 6) -> GamengenSettings:
    """Trains in a moment."""
    half = num_steps // 2
    return GamengenSettings(
        architecture=TINY_NETWORK.model_copy(update={"chance": TINY_CHANCE}),
        sampler=DdimSettings(num_steps=2),
        phases=make_phases((1, 3, half), (4, 2, num_steps - half)),
        loss=GamengenLossSettings(dreams=True, change_weight=1.0),
        prior=TINY_FIT,
        reward=TINY_REWARD,
        loop=TINY_LOOP,
    )


def network(
    shape: tuple[int, int, int] = SHAPE, settings: GamengenNetworkSettings = TINY_NETWORK
) -> GamengenNetwork:
    """A small network whose weights are all away from zero."""
    torch.manual_seed(0)
    made = GamengenNetwork(settings, latent_shape=shape, num_actions=2)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return made.eval()


def context(b: int = 3, *, shape: tuple[int, int, int] = SHAPE, length: int = 2) -> GamengenContext:
    """Random past frames and actions, without noise."""
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(b, length, *shape, generator=generator)
    act = torch.randint(0, 2, (b, length), generator=generator)
    return GamengenContext(z, act, torch.zeros(b, dtype=torch.int64), no_guides(z))
