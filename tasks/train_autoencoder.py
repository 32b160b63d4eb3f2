"""Stage `train_autoencoder`: the latent space of a dataset, trained here or imported and fine-tuned."""

from __future__ import annotations

from dataclasses import replace

from tasks.stage import Stage, Workspace, stage
from worldgen_core.models.catalogue import AUTOENCODER_PACKAGES
from worldgen_core.outcome import Outcome
from worldgen_core.training.autoencoder_settings import AutoencoderSettings


def _core(settings: AutoencoderSettings) -> tuple[str, ...]:
    return ("worldgen_core.training.autoencoder", f"worldgen_core.games.{settings.game}")


def _packages(settings: AutoencoderSettings) -> tuple[str, ...]:
    own = AUTOENCODER_PACKAGES.get(settings.architecture.name, ())
    return ("torch", "numpy", "safetensors", "matplotlib", "pillow", *own)


@stage(section="autoencoder", core=_core, packages=_packages)
def train_autoencoder(settings: AutoencoderSettings, work: Workspace) -> Outcome:
    """Train the autoencoder on the dataset's frames and measure its latents."""
    from worldgen_core.training.autoencoder import train_autoencoder as train

    return train(settings, work.inputs["dataset"], out=work.out, resume=work.resume, progress=work.progress)


def train_autoencoder_of(settings: AutoencoderSettings) -> Stage[AutoencoderSettings]:
    """The stage, which names its settings in a plan's reasons as `--set` takes them."""
    sections = {"diamond-ae": "plain_autoencoder", "gamengen": "gamengen_autoencoder"}
    return replace(train_autoencoder, section=sections.get(settings.model, "autoencoder"))
