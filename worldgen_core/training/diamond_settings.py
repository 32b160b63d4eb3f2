"""Settings of the trainings of `diamond` and `diamond-small`, denoiser and upsampler, and their sizes."""

from __future__ import annotations

from worldgen_core.diffusion.edm import EdmSettings
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.models.chance import ChanceSettings
from worldgen_core.models.inner_unet import InnerUnetSettings
from worldgen_core.models.pixel_denoiser import PixelDenoiserSettings, PixelStageSettings
from worldgen_core.models.upsampler import UpsamplerCardSettings
from worldgen_core.names import ModelName
from worldgen_core.training.diamond_objective import DiamondLossSettings
from worldgen_core.training.loop_settings import LoopSettings, published_loop, smoke_loop
from worldgen_core.training.phases import CurriculumSettings, make_phases
from worldgen_core.training.prior_settings import SMOKE_FIT, ChanceCurriculum
from worldgen_core.training.reward_settings import SMOKE_REWARD


class DiamondSettings(ChanceCurriculum):
    """What `train_diamond` reads."""

    model: ModelName = "diamond"
    """Which of the sizes, as the finished model's card names it."""
    stage: PixelStageSettings
    """Size of the low-resolution denoiser, and how the finished model draws a small frame."""
    loss: DiamondLossSettings = DiamondLossSettings()
    """Weights of the parts of the loss."""


class UpsamplerSettings(CurriculumSettings):
    """What `train_upsampler` reads."""

    model: ModelName = "diamond"
    """For which model it is trained."""
    upsampler: UpsamplerCardSettings
    """Size of the network, how a full frame is drawn, and what low resolution is."""
    loss: DiamondLossSettings = DiamondLossSettings()
    """Weights of the parts of the loss."""


PIXELS = EdmSettings(sigma_data=0.5)
"""DIAMOND's preconditioning and training noise."""
FEW_STEPS = EdmSettings(sigma_data=0.5, loc=-0.2, scale=1.4)
"""Training noise for sampling in one or two steps: the first of them has to work from noise alone."""
PUBLISHED_LEVELS = (False, False, True, True)


def _small_unet(channels: tuple[int, int], num_context_frames: int) -> InnerUnetSettings:
    """Two levels, no normalisation, no attention: what a CPU has time for."""
    return InnerUnetSettings(
        channels=channels,
        depths=(1, 1),
        attention=(False, False),
        has_middle_attention=False,
        cond_channels=64,
        num_context_frames=num_context_frames,
        has_group_norm=False,
    )


def _denoiser(
    unet: InnerUnetSettings,
    sampler: SamplerSettings,
    edm: EdmSettings,
    chance: ChanceSettings | None = None,
) -> PixelStageSettings:
    denoiser = PixelDenoiserSettings(unet=unet, edm=edm, chance=chance)
    return PixelStageSettings(denoiser=denoiser, sampler=sampler, context_noise=0.005)


def _upsampler(
    unet: InnerUnetSettings, sampler: SamplerSettings, edm: EdmSettings, factor: int
) -> UpsamplerCardSettings:
    denoiser = PixelDenoiserSettings(unet=unet, edm=edm, has_context_noise=False, end_width=None)
    return UpsamplerCardSettings(stage=PixelStageSettings(denoiser=denoiser, sampler=sampler), factor=factor)


ONE_STEP = SamplerSettings(num_steps=1, sigma_max=10.0)
"""Frames are drawn as training dreamt them."""
CPU_LOSS = DiamondLossSettings(dreams=True, level_share=0.25, context_noise=0.05, change_weight=10.0)

# The CPU sizes: `diamond-small` has about half the channels of `diamond`.


def smoke(channels: tuple[int, int] = (16, 32)) -> DiamondSettings:
    """A few seconds; shows that everything runs, and learns next to nothing."""
    return DiamondSettings(
        stage=_denoiser(_small_unet(channels, 4), ONE_STEP, FEW_STEPS, ChanceSettings()),
        phases=make_phases((1, 4, 20), (2, 2, 20)),
        loss=CPU_LOSS,
        prior=SMOKE_FIT,
        reward=SMOKE_REWARD,
        loop=smoke_loop(checkpoint_every=20),
    )


def upsampler_smoke(channels: tuple[int, int] = (8, 16)) -> UpsamplerSettings:
    """A few seconds."""
    return UpsamplerSettings(
        upsampler=_upsampler(_small_unet(channels, 1), ONE_STEP, FEW_STEPS, 4),
        phases=make_phases((1, 4, 30)),
        loss=CPU_LOSS,
        loop=smoke_loop(checkpoint_every=15),
    )


def laptop(channels: tuple[int, int] = (48, 96)) -> DiamondSettings:
    """Draws small frames as its training dreamt them.

    Some two hours of a CPU core with AVX2, a quarter of that for `diamond-small`: worked out from 17,000
    frames of the latter.
    """
    return DiamondSettings(
        stage=_denoiser(_small_unet(channels, 8), ONE_STEP, FEW_STEPS, ChanceSettings()),
        phases=make_phases((1, 16, 200), (2, 10, 200), (4, 8, 150), (8, 5, 120), (12, 4, 100)),
        loss=CPU_LOSS,
        loop=LoopSettings(precision="auto"),
    )


def upsampler_laptop(channels: tuple[int, int] = (16, 32)) -> UpsamplerSettings:
    """A few minutes of one CPU core."""
    return UpsamplerSettings(
        upsampler=_upsampler(_small_unet(channels, 1), ONE_STEP, FEW_STEPS, 2),
        phases=make_phases((1, 8, 500), (2, 4, 300)),
        loss=CPU_LOSS,
        loop=LoopSettings(precision="auto"),
    )


def smoke_small() -> DiamondSettings:
    """As `smoke`, with half the channels."""
    return smoke((8, 16))


def upsampler_smoke_small() -> UpsamplerSettings:
    """As `upsampler_smoke`, with half the channels."""
    return upsampler_smoke((4, 8))


def laptop_small() -> DiamondSettings:
    """As `laptop`, with half the channels."""
    return laptop((24, 48))


def upsampler_laptop_small() -> UpsamplerSettings:
    """As `upsampler_laptop`, with half the channels."""
    return upsampler_laptop((8, 16))


# The published sizes, for GPUs.


def _paper(channels: tuple[int, ...], depths: tuple[int, ...]) -> DiamondSettings:
    unet = InnerUnetSettings(channels=channels, depths=depths, attention=PUBLISHED_LEVELS, cond_channels=2048)
    return DiamondSettings(
        stage=_denoiser(unet, SamplerSettings(num_steps=3), PIXELS),
        phases=make_phases((5, 128, 600_000)),
        loop=published_loop(),
    )


def _paper_upsampler(cond_channels: int) -> UpsamplerSettings:
    unet = InnerUnetSettings(
        channels=(64, 64, 128, 256),
        depths=(2, 2, 2, 2),
        attention=(False, False, False, True),
        cond_channels=cond_channels,
        num_context_frames=1,
    )
    sampler = SamplerSettings(num_steps=10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9)
    return UpsamplerSettings(
        upsampler=_upsampler(unet, sampler, PIXELS, 5),
        phases=make_phases((2, 32, 600_000)),
        loop=published_loop(),
    )


def paper() -> DiamondSettings:
    """The size published for Counter-Strike (330M parameters)."""
    return _paper((128, 256, 512, 1024), (2, 2, 2, 2))


def upsampler_paper() -> UpsamplerSettings:
    """The size published for Counter-Strike (51M parameters)."""
    return _paper_upsampler(2048)


def paper_small() -> DiamondSettings:
    """The reduced size (74M parameters)."""
    return _paper((64, 128, 256, 384), (1, 2, 2, 1))


def upsampler_paper_small() -> UpsamplerSettings:
    """The reduced size (30M parameters)."""
    return _paper_upsampler(1024)
