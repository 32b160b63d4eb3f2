"""Stage `distil_decoder`: a light decoder that learns from the autoencoder's own, for play on a CPU."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.training.decoder_settings import DistilDecoderSettings


def _core(settings: DistilDecoderSettings) -> tuple[str, ...]:
    return ("worldgen_core.training.distil_decoder", f"worldgen_core.games.{settings.game}")


@stage(
    section="distil_decoder",
    core=_core,
    packages=("torch", "numpy", "safetensors", "matplotlib", "pillow"),
)
def distil_decoder(settings: DistilDecoderSettings, work: Workspace) -> Outcome:
    """Teach the light decoder on the dataset's frames and their latents."""
    from worldgen_core.training.distil_decoder import distil_decoder as distil

    return distil(
        settings,
        work.inputs["dataset"],
        work.inputs["latents"],
        work.inputs["autoencoder"],
        out=work.out,
        resume=work.resume,
        progress=work.progress,
    )
