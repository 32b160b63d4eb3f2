"""Stage `train_model`: the world model itself; which architecture is the class of the settings."""

from __future__ import annotations

from dataclasses import replace

from tasks.stage import Stage, Workspace, stage
from worldgen_core.models.catalogue import MODEL_PACKAGES
from worldgen_core.outcome import Outcome
from worldgen_core.training.diamond_settings import DiamondSettings
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.direct_settings import DirectSettings
from worldgen_core.training.gamengen_settings import GamengenSettings
from worldgen_core.training.layered_settings import LayeredSettings

ModelSettings = DirectSettings | LayeredSettings | DiamondVaeSettings | DiamondSettings | GamengenSettings

_MODULES: dict[type[ModelSettings], str] = {
    DirectSettings: "direct",
    LayeredSettings: "layered",
    DiamondVaeSettings: "diamond_vae",
    DiamondSettings: "diamond",
    GamengenSettings: "gamengen",
}
"""The training's module in worldgen_core/training."""

PACKAGES = ("torch", "numpy", "safetensors", "matplotlib")


def _core(settings: ModelSettings) -> tuple[str, ...]:
    module = _MODULES[type(settings)]
    return (f"worldgen_core.training.{module}", f"worldgen_core.games.{settings.game}")


def _packages(settings: ModelSettings) -> tuple[str, ...]:
    if isinstance(settings, LayeredSettings):
        return (*PACKAGES, "opencv-python-headless")
    return (*PACKAGES, *MODEL_PACKAGES["gamengen"]) if isinstance(settings, GamengenSettings) else PACKAGES


@stage(section="train", core=_core, packages=_packages)
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
    if isinstance(settings, LayeredSettings):
        from worldgen_core.training.layered import train_layered

        return train_layered(
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
    if isinstance(settings, GamengenSettings):
        from worldgen_core.training.gamengen import train_gamengen

        return train_gamengen(
            settings,
            folders["dataset"],
            folders["latents"],
            folders["autoencoder"],
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
    has_name = isinstance(settings, DiamondSettings | DiamondVaeSettings)
    named = settings.model if has_name else _MODULES[type(settings)]
    return replace(train_model, section=named.replace("-", "_"))
