"""Stage `encode_latents`: every frame of a dataset as a latent, once, so that training never encodes."""

from __future__ import annotations

from dataclasses import replace

from tasks.stage import Stage, Workspace, stage
from worldgen_core.models.catalogue import AUTOENCODER_PACKAGES
from worldgen_core.outcome import Outcome
from worldgen_core.training.autoencoder_settings import AutoencoderSettings, LatentSettings

PACKAGES = ("torch", "numpy")


@stage(section="latents", core=("worldgen_core.training.latents",), packages=PACKAGES)
def encode_latents(settings: LatentSettings, work: Workspace) -> Outcome:
    """Encode the dataset with the trained autoencoder."""
    from worldgen_core.training.latents import encode_latents as encode

    return encode(
        settings,
        work.inputs["dataset"],
        work.inputs["autoencoder"],
        out=work.out,
        resume=work.resume,
        progress=work.progress,
    )


def encode_latents_of(autoencoder: AutoencoderSettings) -> Stage[LatentSettings]:
    """The stage, which also depends on the libraries that this autoencoder comes from."""
    own = AUTOENCODER_PACKAGES.get(autoencoder.architecture.name, ())
    return replace(encode_latents, packages=(*PACKAGES, *own))
