"""Stage `encode_latents`: every frame of a dataset as a latent, once, so that training never encodes."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.training.autoencoder_settings import LatentSettings


@stage(section="latents", core=("worldgen_core.training.latents",), packages=("torch", "numpy"))
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
