"""Stage `finetune_decoder`: the autoencoder's own decoder trained on, for latents that stay as they are."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.training.decoder_settings import FinetuneDecoderSettings


def _core(settings: FinetuneDecoderSettings) -> tuple[str, ...]:
    return ("worldgen_core.training.finetune_decoder", f"worldgen_core.games.{settings.game}")


@stage(
    section="finetune_decoder",
    core=_core,
    packages=("torch", "numpy", "safetensors", "matplotlib", "pillow"),
)
def finetune_decoder(settings: FinetuneDecoderSettings, work: Workspace) -> Outcome:
    """Train the decoder on the dataset's frames and their latents."""
    from worldgen_core.training.finetune_decoder import finetune_decoder as finetune

    return finetune(
        settings,
        work.inputs["dataset"],
        work.inputs["latents"],
        work.inputs["autoencoder"],
        out=work.out,
        resume=work.resume,
        progress=work.progress,
    )
