"""Settings of the training of `diamond-vae` and `diamond-ae`, and its three sizes."""

from __future__ import annotations

from worldgen_core.diffusion.edm import EdmSettings
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.models.chance import ChanceSettings
from worldgen_core.models.inner_unet import InnerUnetSettings
from worldgen_core.models.latent_denoiser import LatentDenoiserSettings
from worldgen_core.names import ModelName
from worldgen_core.training.diamond_vae_objective import DiamondVaeLossSettings
from worldgen_core.training.loop_settings import LoopSettings, published_loop, smoke_loop
from worldgen_core.training.phases import make_phases
from worldgen_core.training.prior_settings import SMOKE_FIT, ChanceCurriculum
from worldgen_core.training.reward_settings import SMOKE_REWARD


class DiamondVaeSettings(ChanceCurriculum):
    """What `train_diamond_vae` reads."""

    model: ModelName = "diamond-vae"
    """Which of the two; they differ in their autoencoder alone."""

    architecture: LatentDenoiserSettings
    """Size of the denoiser."""
    sampler: SamplerSettings
    """How the finished model draws a latent; its `sigma_max` is also where training dreams start."""
    loss: DiamondVaeLossSettings = DiamondVaeLossSettings()
    """Weights of the parts of the loss."""


def _small_unet(channels: tuple[int, int], num_context_frames: int) -> InnerUnetSettings:
    """Two levels, no normalisation, no attention: what a CPU has time for."""
    return InnerUnetSettings(
        channels=channels,
        depths=(1, 1),
        attention=(False, False),
        has_middle_attention=False,
        cond_channels=128,
        num_context_frames=num_context_frames,
        has_group_norm=False,
    )


PUBLISHED = EdmSettings(loc=-0.5, sigma_min=4e-3, sigma_max=40.0, sigma_offset_noise=0.2)
"""DIAMOND's training noise, doubled: its levels are for data of deviation 0.5, and latents have 1."""
FEW_STEPS = EdmSettings(loc=0.5, scale=1.4, sigma_max=40.0)
"""Training noise for sampling in one or two steps: the first of them has to work from noise alone."""
CPU_LOSS = DiamondVaeLossSettings(dreams=True, context_noise=0.1, change_weight=10.0)


def smoke() -> DiamondVaeSettings:
    """A few seconds; shows that everything runs, and learns next to nothing."""
    return DiamondVaeSettings(
        architecture=LatentDenoiserSettings(
            unet=_small_unet((16, 32), 4),
            edm=FEW_STEPS,
            has_position_map=True,
            end_width=8,
            chance=ChanceSettings(),
        ),
        sampler=SamplerSettings(num_steps=1, sigma_max=20.0),
        phases=make_phases((1, 4, 20), (2, 2, 20)),
        loss=CPU_LOSS,
        prior=SMOKE_FIT,
        reward=SMOKE_REWARD,
        loop=smoke_loop(checkpoint_every=20),
    )


def laptop() -> DiamondVaeSettings:
    """About eleven minutes on two CPU cores; draws frames as its training dreamt them, in one step."""
    return DiamondVaeSettings(
        architecture=LatentDenoiserSettings(
            unet=_small_unet((48, 96), 8),
            edm=FEW_STEPS,
            has_position_map=True,
            chance=ChanceSettings(),
        ),
        sampler=SamplerSettings(num_steps=1, sigma_max=20.0),
        phases=make_phases((1, 16, 400), (2, 10, 400), (4, 8, 300), (8, 5, 300), (12, 4, 200)),
        loss=CPU_LOSS.model_copy(update={"level_share": 0.25}),
        loop=LoopSettings(precision="auto"),
    )


def paper() -> DiamondVaeSettings:
    """The published latent size (73.8M parameters), for a GPU; planned and stepped once on a CPU."""
    return DiamondVaeSettings(
        architecture=LatentDenoiserSettings(
            unet=InnerUnetSettings(
                channels=(64, 128, 256, 384),
                depths=(1, 2, 2, 1),
                attention=(False, False, True, True),
                cond_channels=2048,
            ),
            edm=PUBLISHED,
        ),
        sampler=SamplerSettings(num_steps=2, sigma_min=4e-3, sigma_max=10.0),
        phases=make_phases((4, 32, 400_000)),
        loss=DiamondVaeLossSettings(context_noise=0.1),
        loop=published_loop(),
    )
