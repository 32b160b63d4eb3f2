"""What the trainings of a decoder alone cost in operations; see sizes/training.py."""

from __future__ import annotations

import torch
from torch import nn

from worldgen_core.config import Config
from worldgen_core.models.autoencoder import FrameAutoencoder
from worldgen_core.models.latent_space import build_autoencoder
from worldgen_core.models.light_decoder import LightDecoder
from worldgen_core.sizes.flops import META, step_flops
from worldgen_core.training.decoder_objective import (
    Decode,
    DecoderObjective,
    Foreground,
    FrameLatents,
    Teacher,
)
from worldgen_core.training.decoder_settings import DecoderTrainingSettings


def decoder_flops(config: Config, size: tuple[int, int]) -> dict[str, int]:
    """Operations of the decoder stages that are on, by the setting's section; frames are `size` pixels."""
    if config.train_autoencoder is None:
        return {}
    asked: dict[str, tuple[DecoderTrainingSettings, DecoderObjective]] = {}
    with torch.device(META):
        height, width = size
        network = build_autoencoder(config.train_autoencoder.architecture, height=height, width=width)
        assert isinstance(network, FrameAutoencoder)
        finetune, distil = config.finetune_decoder, config.distil_decoder
        if finetune.is_on:
            own = network.get_submodule("decoder")
            objective = _objective(finetune, network, own, network.decode, None, size)
            asked["finetune_decoder"] = finetune, objective
        if distil.is_on:
            light = LightDecoder(
                distil.architecture,
                num_latent_channels=network.num_latent_channels,
                factor=network.factor,
                height=height,
                width=width,
            )
            noise = torch.ones(network.num_latent_channels, 1, 1)
            teacher = Teacher(network.decode, distil.teacher_weight, distil.num_teacher_frames, noise)
            taught = teacher if distil.teacher_weight else None
            objective = _objective(distil, network, light, light.decode, taught, size)
            asked["distil_decoder"] = distil, objective
    # Outside: the numbers of rows are tensors that need contents.
    return {name: settings.num_steps * step_flops(objective) for name, (settings, objective) in asked.items()}


def _objective(
    settings: DecoderTrainingSettings,
    network: FrameAutoencoder,
    module: nn.Module,
    decode: Decode,
    teacher: Teacher | None,
    size: tuple[int, int],
) -> DecoderObjective:
    """What one of the trainings minimises, on black frames; to be made on the meta device."""
    height, width = size
    grid = (height // network.factor, width // network.factor)
    batch = FrameLatents(
        torch.zeros(settings.batch_size, height, width, 3, dtype=torch.uint8),
        torch.zeros(settings.batch_size, network.num_latent_channels, *grid),
    )
    foreground = Foreground(
        torch.zeros(3, height, width), settings.foreground_weight, settings.foreground_level
    )
    return DecoderObjective(module, decode, foreground, lambda _: batch, teacher)
