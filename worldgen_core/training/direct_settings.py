"""Settings of the `direct` model's training, and its three sizes."""

from __future__ import annotations

from worldgen_core.models.direct_network import DirectArchitecture
from worldgen_core.training.direct_objective import DirectLossSettings
from worldgen_core.training.loop_settings import LoopSettings, smoke_loop
from worldgen_core.training.phases import make_phases
from worldgen_core.training.prior_settings import PriorFitSettings
from worldgen_core.training.reward_settings import SMOKE_REWARD, RewardedCurriculum


class DirectSettings(RewardedCurriculum):
    """What `train_direct` reads."""

    architecture: DirectArchitecture = DirectArchitecture()
    """Size of the network; what depends on the game is filled in from the game and the data."""
    loss: DirectLossSettings = DirectLossSettings()
    """Weights of the parts of the loss."""
    prior: PriorFitSettings = PriorFitSettings()
    """The fit of the chance's prior at the end."""


def smoke() -> DirectSettings:
    """A few seconds; shows that everything runs, and learns next to nothing."""
    return DirectSettings(
        architecture=DirectArchitecture(channels=(16, 32), num_blocks=(1, 1, 1)),
        phases=make_phases((1, 4, 30), (2, 3, 20), (4, 2, 20)),
        prior=PriorFitSettings(num_examples=500, unroll=4, num_windows=16, batch_size=64, num_steps=30),
        reward=SMOKE_REWARD,
        loop=smoke_loop(checkpoint_every=30),
    )


def laptop() -> DirectSettings:
    """13 to 14 minutes on two CPU cores with AVX2, 8 with AMX; docs/decisions/0003 says what made it play."""
    return DirectSettings(
        architecture=DirectArchitecture(channels=(40, 112)),
        phases=make_phases((1, 16, 350), (2, 10, 450), (4, 8, 420), (8, 5, 480), (12, 4, 400)),
        loop=LoopSettings(precision="auto"),
    )


def paper() -> DirectSettings:
    """For one GPU and some hours; planned and stepped once on a CPU."""
    return DirectSettings(
        architecture=DirectArchitecture(channels=(192, 384), num_blocks=(2, 4, 3), condition=256, memory=32),
        phases=make_phases(
            (1, 64, 20_000), (2, 48, 20_000), (4, 32, 20_000), (8, 24, 20_000), (12, 16, 20_000)
        ),
        loop=LoopSettings(
            warmup_steps=500, ema_decay=0.999, checkpoint_every=1000, log_every=100, precision="auto"
        ),
    )
