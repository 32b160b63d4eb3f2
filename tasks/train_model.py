"""Stage `train_model`: the world model itself; which architecture is the class of the settings."""

from __future__ import annotations

from dataclasses import replace

from tasks.stage import Stage, Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.training.diamond_settings import DiamondSettings
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.direct_settings import DirectSettings

ModelSettings = DirectSettings | DiamondVaeSettings | DiamondSettings


def _core(settings: ModelSettings) -> tuple[str, ...]:
    if isinstance(settings, DirectSettings):
        return ("worldgen_core.training.direct", f"worldgen_core.games.{settings.game}")
    name = "diamond" if isinstance(settings, DiamondSettings) else "diamond_vae"
    return (f"worldgen_core.training.{name}", f"worldgen_core.games.{settings.game}")


@stage(section="train", core=_core, packages=("torch", "numpy", "safetensors", "matplotlib"))
def train_model(settings: ModelSettings, work: Workspace) -> Outcome:
    """Train on the dataset (or its latents), from scratch or from the weights of `start`."""
    folders = work.inputs
    if isinstance(settings, DirectSettings):
        from worldgen_core.training.direct import train_direct

        return train_direct(
            settings,
            folders["dataset"],
            folders.get("start"),
            out=work.out,
            resume=work.resume,
            progress=work.progress,
        )
    if isinstance(settings, DiamondSettings):
        from worldgen_core.training.diamond import train_diamond

        return train_diamond(
            settings,
            folders["dataset"],
            folders["upsampler"],
            folders.get("start"),
            out=work.out,
            resume=work.resume,
            progress=work.progress,
        )
    from worldgen_core.training.diamond_vae import train_diamond_vae

    return train_diamond_vae(
        settings,
        folders["dataset"],
        folders["latents"],
        folders["autoencoder"],
        folders.get("start"),
        out=work.out,
        resume=work.resume,
        progress=work.progress,
    )


def train_model_of(settings: ModelSettings) -> Stage[ModelSettings]:
    """The stage, which names its settings in a plan's reasons as `--set` takes them."""
    if isinstance(settings, DiamondSettings):
        return replace(train_model, section=settings.model.replace("-", "_"))
    return replace(train_model, section="direct" if isinstance(settings, DirectSettings) else "diamond_vae")
