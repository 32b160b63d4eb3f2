"""What a training costs in operations, counted without data: a small step, times the frames of all.

A step is run on the meta device, where tensors have shapes and no contents. Backward passes count, and
gradients through a dream with them; the optimizer does not, whose work is that of the weights alone. Of the
fit of a prior of chance its dreams count, whose frames are a network's; its own passes are a thousandth. A
reward head costs every model the same and is left out.
`layered` is counted as three passes of its networks a window and a move, since its batches are cut from maps
that only footage can make; most of its work is that of maps, not of networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from worldgen_core.batch import ClipBatch
from worldgen_core.config import Config
from worldgen_core.games.catalogue import get_facts
from worldgen_core.models.direct_network import DirectNetwork
from worldgen_core.models.gamengen_network import GamengenNetwork
from worldgen_core.models.latent_denoiser import LatentDenoiser
from worldgen_core.models.latent_space import build_autoencoder
from worldgen_core.models.pixel_denoiser import PixelDenoiser
from worldgen_core.models.upsampler import Upsampler, low_size
from worldgen_core.sizes.decoder_training import decoder_flops
from worldgen_core.sizes.flops import META, step_flops
from worldgen_core.sizes.measure import run_cost
from worldgen_core.sizes.parts import PARTS_OF, chance_at, latent_chance
from worldgen_core.training.autoencoder_objective import AutoencoderObjective, AutoencoderWeights
from worldgen_core.training.autoencoder_settings import AutoencoderSettings
from worldgen_core.training.diamond_objective import DiamondObjective, PixelBatch
from worldgen_core.training.diamond_settings import DiamondSettings, UpsamplerSettings
from worldgen_core.training.diamond_vae_objective import DiamondVaeObjective
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.direct_objective import DirectObjective
from worldgen_core.training.direct_settings import DirectSettings
from worldgen_core.training.gamengen_objective import GamengenObjective
from worldgen_core.training.gamengen_settings import GamengenSettings
from worldgen_core.training.latent_windows import LatentBatch
from worldgen_core.training.layered_settings import LayeredSettings
from worldgen_core.training.loop import Objective
from worldgen_core.training.phases import CurriculumSettings, UnrollPhase
from worldgen_core.training.prior_settings import ChanceCurriculum

PASSES = 3
"""Forward, and twice as much backward."""
_COUNTED = UnrollPhase(unroll=2, batch_size=16, num_steps=1)
"""A step in which a dream leads on to another frame, and a quarter of the windows is whole windows."""
NUM_FRAMES = _COUNTED.num_frames
"""Frames of the step that is counted."""


@dataclass(frozen=True)
class Frames:
    """What of a game's frames a training's cost depends on."""

    height: int
    width: int
    num_actions: int


def training_flops(config: Config) -> dict[str, int]:
    """Operations of each training that the configured model takes, by the setting's section."""
    facts = get_facts(config.train.game)
    frames = Frames(facts.height, facts.width, len(facts.action_names))
    found = {_section(config, config.train): _model_flops(config, frames)}
    if config.train_autoencoder is not None:
        cost = _autoencoder_flops(config.train_autoencoder, frames)
        found[_section(config, config.train_autoencoder)] = cost
    if config.train_upsampler is not None:
        found[_section(config, config.train_upsampler)] = _upsampler_flops(config.train_upsampler, frames)
    return found | decoder_flops(config, (frames.height, frames.width))


def _section(config: Config, settings: BaseModel) -> str:
    return next(name for name, value in config if value is settings)


def _model_flops(config: Config, frames: Frames) -> int:
    settings = config.train
    if isinstance(settings, LayeredSettings):
        return _layered_flops(config, settings, frames)
    objective = objective_of(config, frames, device=META)
    return _frames_in(settings) * _a_frame(objective) + _prior_flops(settings, objective)


def objective_of(config: Config, frames: Frames, *, device: str) -> Objective:
    """What the configured model's training minimises, with an untrained network and black frames.

    A step takes `NUM_FRAMES` frames; not for `layered`.
    """
    settings = config.train
    if isinstance(settings, DirectSettings):
        return _direct_objective(settings, frames, device)
    if isinstance(settings, DiamondSettings):
        return _diamond_objective(config, settings, frames, device)
    if isinstance(settings, GamengenSettings):
        return _gamengen_objective(config, settings, frames, device)
    assert isinstance(settings, DiamondVaeSettings)
    return _latent_objective(config, settings, frames, device)


def _frames_in(settings: CurriculumSettings) -> int:
    return sum(phase.num_steps * phase.num_frames for phase in settings.phases)


def _a_frame(objective: Objective) -> int:
    """Operations of learning from one dreamt frame."""
    return step_flops(objective) // NUM_FRAMES


def _prior_flops(settings: CurriculumSettings, objective: Objective) -> int:
    """Operations of the dreams to which a prior of chance is fitted at the end; 0 without one."""
    network = objective.module
    has_prior = isinstance(network, DirectNetwork) or getattr(network, "chance", None) is not None
    if not has_prior or not isinstance(settings, DirectSettings | ChanceCurriculum):
        return 0
    if not settings.prior.num_steps:
        return 0
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        objective.loss(0, torch.Generator().manual_seed(0))
    return settings.prior.num_examples * counter.get_total_flops() // NUM_FRAMES


def _direct_objective(settings: DirectSettings, frames: Frames, device: str) -> Objective:
    arch, assumptions = settings.architecture, get_facts(settings.game).assumptions
    if assumptions.new_content == "right":
        arch = arch.with_new_content_right(assumptions.new_content_columns)
    with torch.device(device):
        network = DirectNetwork(
            arch, num_actions=frames.num_actions, height=frames.height, width=frames.width
        )
    length = arch.num_context_frames + _COUNTED.unroll
    batch = ClipBatch(
        obs=_zeros(device, (_COUNTED.batch_size, length, frames.height, frames.width, 3), torch.uint8),
        act=_zeros(device, (_COUNTED.batch_size, length), torch.int64),
        end=_zeros(device, (_COUNTED.batch_size, length), torch.bool),
        mask=torch.ones(_COUNTED.batch_size, length, dtype=torch.bool, device=device),
    )
    return DirectObjective(network, settings.loss, lambda _: batch)


def _latent_objective(
    config: Config, settings: DiamondVaeSettings, frames: Frames, device: str
) -> DiamondVaeObjective:
    shape, arch = _latent_shape(config, frames), settings.architecture
    arch = arch.model_copy(update={"chance": latent_chance(config, arch.chance)})
    with torch.device(device):
        denoiser = LatentDenoiser(arch, latent_shape=shape, num_actions=frames.num_actions)
    batch = _latent_batch(device, denoiser.num_context_frames, shape)
    sigma_start = settings.sampler.sigma_max
    return DiamondVaeObjective(denoiser, settings.loss, lambda _: batch, sigma_start=sigma_start)


def _gamengen_objective(
    config: Config, settings: GamengenSettings, frames: Frames, device: str
) -> GamengenObjective:
    shape, arch = _latent_shape(config, frames), settings.architecture
    arch = arch.model_copy(update={"chance": latent_chance(config, arch.chance)})
    with torch.device(device):
        network = GamengenNetwork(arch, latent_shape=shape, num_actions=frames.num_actions)
    batch = _latent_batch(device, network.num_context_frames, shape)
    return GamengenObjective(network, settings.loss, lambda _: batch)


def _latent_shape(config: Config, frames: Frames) -> tuple[int, int, int]:
    assert config.train_autoencoder is not None
    with torch.device(META):
        own = build_autoencoder(
            config.train_autoencoder.architecture, height=frames.height, width=frames.width
        )
    return own.num_latent_channels, frames.height // own.factor, frames.width // own.factor


def _latent_batch(device: str, num_context: int, shape: tuple[int, int, int]) -> LatentBatch:
    length = num_context + _COUNTED.unroll
    return LatentBatch(
        z=_zeros(device, (_COUNTED.batch_size, length, *shape)),
        act=_zeros(device, (_COUNTED.batch_size, length), torch.int64),
        end=_zeros(device, (_COUNTED.batch_size, length), torch.bool),
    )


def _diamond_objective(
    config: Config, settings: DiamondSettings, frames: Frames, device: str
) -> DiamondObjective:
    assert config.train_upsampler is not None
    own, factor = settings.stage.denoiser, config.train_upsampler.upsampler.factor
    own = own.model_copy(update={"chance": chance_at(config, own.chance, factor)})
    size = low_size(frames.height, frames.width, factor)
    with torch.device(device):
        denoiser = PixelDenoiser(own, num_actions=frames.num_actions, size=size)
    batch = _pixel_batch(device, denoiser.num_context_frames, size, has_guide=False)
    sigma_start = settings.stage.sampler.sigma_max
    return DiamondObjective(denoiser, settings.loss, lambda _: batch, sigma_start=sigma_start)


def _upsampler_flops(settings: UpsamplerSettings, frames: Frames) -> int:
    with torch.device(META):
        upsampler = Upsampler(settings.upsampler, height=frames.height, width=frames.width)
    denoiser = upsampler.denoiser
    batch = _pixel_batch(META, denoiser.num_context_frames, upsampler.full_size, has_guide=True)
    objective = DiamondObjective(
        denoiser, settings.loss, lambda _: batch, sigma_start=settings.upsampler.stage.sampler.sigma_max
    )
    return _frames_in(settings) * _a_frame(objective)


def _autoencoder_flops(settings: AutoencoderSettings, frames: Frames) -> int:
    with torch.device(META):
        network: nn.Module = build_autoencoder(
            settings.architecture, height=frames.height, width=frames.width
        )
    batch = _zeros(META, (settings.batch_size, 3, frames.height, frames.width), torch.uint8)
    weights = AutoencoderWeights(
        kl=settings.kl_weight,
        foreground=settings.foreground_weight,
        foreground_level=settings.foreground_level,
    )
    median = _zeros(META, (3, frames.height, frames.width))
    shown = batch.permute(0, 2, 3, 1)
    return settings.num_steps * step_flops(AutoencoderObjective(network, median, weights, lambda _: shown))


def _layered_flops(config: Config, settings: LayeredSettings, frames: Frames) -> int:
    with torch.device(META):
        parts = PARTS_OF["layered"](config, frames.num_actions, frames.height, frames.width)
    batch = {"mover": settings.moves.batch, "tile network": settings.windows.batch_size}
    forward = sum(batch[part.name] * run_cost(part.run).flops for part in parts)
    return settings.num_steps * PASSES * forward


def _pixel_batch(device: str, num_context: int, size: Sequence[int], *, has_guide: bool) -> PixelBatch:
    length = num_context + _COUNTED.unroll
    obs = _zeros(device, (_COUNTED.batch_size, length, 3, *size))
    return PixelBatch(
        obs=obs,
        act=_zeros(device, (_COUNTED.batch_size, length), torch.int64),
        end=_zeros(device, (_COUNTED.batch_size, length), torch.bool),
        guide=obs if has_guide else None,
    )


def _zeros(device: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype, device=device)
