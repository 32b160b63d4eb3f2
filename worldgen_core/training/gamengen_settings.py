"""Settings of the training of `gamengen`, and its three sizes."""

from __future__ import annotations

from pydantic import Field

from worldgen_core.diffusion.ddim_settings import DdimSettings
from worldgen_core.models.chance import ChanceSettings
from worldgen_core.models.gamengen_settings import GamengenNetworkSettings, GamengenUnetSettings
from worldgen_core.training.dream_settings import DreamLossSettings
from worldgen_core.training.loop_settings import LoopSettings, OptimizerSettings, published_loop, smoke_loop
from worldgen_core.training.phases import make_phases
from worldgen_core.training.prior_settings import SMOKE_FIT, ChanceCurriculum
from worldgen_core.training.reward_settings import SMOKE_REWARD


class GamengenLossSettings(DreamLossSettings):
    """Weights of the parts of the loss, and what a window's context is.

    Off, `dreams` is GameNGen's way: contexts are true frames, and the noise on them is all there is against
    drift.
    """

    drop_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the predictions that get no past frames, which guidance at play needs."""


class GamengenSettings(ChanceCurriculum):
    """What `train_gamengen` reads."""

    architecture: GamengenNetworkSettings
    """Size of the network."""
    sampler: DdimSettings
    """How the finished model draws a latent."""
    loss: GamengenLossSettings = GamengenLossSettings()
    """Weights of the parts of the loss."""


CPU_LOSS = GamengenLossSettings(drop_share=0.2, dreams=True, level_share=0.25, change_weight=10.0)


def smoke() -> GamengenSettings:
    """A few seconds; shows that everything runs, and learns next to nothing."""
    return GamengenSettings(
        architecture=GamengenNetworkSettings(
            unet=_small_unet((16, 32)),
            num_context_frames=4,
            num_place_channels=4,
            end_width=8,
            chance=ChanceSettings(),
        ),
        sampler=DdimSettings(num_steps=1),
        phases=make_phases((1, 4, 20), (2, 2, 20)),
        loss=CPU_LOSS,
        prior=SMOKE_FIT,
        reward=SMOKE_REWARD,
        loop=smoke_loop(checkpoint_every=20),
    )


def laptop() -> GamengenSettings:
    """Half an hour of one core; draws frames as its training dreamt them (docs/decisions/0009)."""
    return GamengenSettings(
        architecture=GamengenNetworkSettings(
            unet=_small_unet((24, 48)),
            num_context_frames=8,
            max_context_noise=0.2,
            num_place_channels=4,
            chance=ChanceSettings(),
        ),
        sampler=DdimSettings(num_steps=1, guidance=1.0),
        phases=make_phases((1, 16, 480), (2, 10, 355), (4, 8, 247), (8, 5, 178), (12, 4, 139)),
        loss=CPU_LOSS,
        loop=LoopSettings(
            warmup_steps=20, ema_decay=0.98, num_threads=1, checkpoint_every=50, precision="auto"
        ),
    )


def paper() -> GamengenSettings:
    """Stable Diffusion 1.4's U-Net and GameNGen's training, for GPUs; AdamW where they took Adafactor."""
    loop = published_loop()
    return GamengenSettings(
        architecture=GamengenNetworkSettings(),
        sampler=DdimSettings(),
        phases=make_phases((1, 128, 700_000)),
        loop=loop.model_copy(
            update={
                "optimizer": OptimizerSettings(rate=2e-5, beta2=0.999, weight_decay=0.0, muon_rate=0.0),
                "clip_norm": 1.0,
                "final_rate_share": 1.0,
            }
        ),
    )


def _small_unet(channels: tuple[int, int]) -> GamengenUnetSettings:
    """Two levels, of which the second attends: what a CPU has time for."""
    return GamengenUnetSettings(
        channels=channels, attention=(False, True), num_blocks=1, token_size=64, num_heads=2, num_groups=8
    )
