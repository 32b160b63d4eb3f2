"""Small settings of both stages of `diamond`, and a model folder made with them, for tests."""

from __future__ import annotations

from pathlib import Path

from tests.direct_data import TINY_REWARD
from tests.latent_data import TINY_CHANCE, TINY_FIT, TINY_LOOP
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.models.inner_unet import InnerUnetSettings
from worldgen_core.models.pixel_denoiser import PixelDenoiserSettings, PixelStageSettings
from worldgen_core.models.upsampler import UpsamplerCardSettings
from worldgen_core.outcome import Outcome
from worldgen_core.progress import Progress, silent
from worldgen_core.training.diamond import train_diamond
from worldgen_core.training.diamond_objective import DiamondLossSettings
from worldgen_core.training.diamond_settings import DiamondSettings, UpsamplerSettings
from worldgen_core.training.phases import make_phases
from worldgen_core.training.upsampler import train_upsampler


def _unet(num_context_frames: int) -> InnerUnetSettings:
    return InnerUnetSettings(
        channels=(8, 16),
        depths=(1, 1),
        attention=(False, True),
        cond_channels=24,
        num_context_frames=num_context_frames,
    )


def diamond_settings(num_steps: int = 6, *, dreams: bool = True) -> DiamondSettings:
    """Trains in a moment: as DIAMOND does, or along its own dream and told the game's chance."""
    half = num_steps // 2
    chance = TINY_CHANCE if dreams else None
    return DiamondSettings(
        stage=PixelStageSettings(
            denoiser=PixelDenoiserSettings(unet=_unet(3), end_width=4, chance=chance),
            sampler=SamplerSettings(num_steps=2, sigma_min=0.5),
            context_noise=0.01,
        ),
        phases=make_phases((1, 3, half), (4, 2, num_steps - half)),
        loss=DiamondLossSettings(dreams=dreams, context_noise=0.05, change_weight=1.0 if dreams else 0.0),
        prior=TINY_FIT,
        reward=TINY_REWARD,
        loop=TINY_LOOP,
    )


def upsampler_settings(num_steps: int = 6, *, dreams: bool = True) -> UpsamplerSettings:
    """Trains in a moment; 32 x 24 pixels are 11 x 8 at low resolution."""
    denoiser = PixelDenoiserSettings(unet=_unet(1), has_context_noise=False, end_width=None)
    stage = PixelStageSettings(denoiser=denoiser, sampler=SamplerSettings(num_steps=1))
    return UpsamplerSettings(
        upsampler=UpsamplerCardSettings(stage=stage, factor=3),
        phases=make_phases((1, 3, num_steps)),
        loss=DiamondLossSettings(dreams=dreams),
        loop=TINY_LOOP,
    )


def make_upsampler(dataset: Path, folder: Path, *, progress: Progress = silent) -> Outcome:
    """Train the small upsampler into `folder`, with its checkpoints beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    resume = folder.with_name(folder.name + "-resume")
    return train_upsampler(upsampler_settings(), dataset, out=folder, resume=resume, progress=progress)


def make_diamond(
    dataset: Path,
    upsampler: Path,
    folder: Path,
    *,
    start: Path | None = None,
    settings: DiamondSettings | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Train the small denoiser into `folder`, with its checkpoints beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    resume = folder.with_name(folder.name + "-resume")
    return train_diamond(
        settings or diamond_settings(),
        *(dataset, upsampler, start),
        out=folder,
        resume=resume,
        progress=progress,
    )
