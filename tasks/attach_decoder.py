"""Stage `attach_decoder`: a trained world model shown by a decoder that was trained apart from it."""

from __future__ import annotations

from tasks.stage import Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.training.decoder_settings import AttachDecoderSettings


@stage(
    section="attach_decoder",
    core=("worldgen_core.training.attach_decoder",),
    packages=("torch", "safetensors"),
)
def attach_decoder(settings: AttachDecoderSettings, work: Workspace) -> Outcome:
    """Write the model's folder with the other decoder, if that is good enough."""
    from worldgen_core.training.attach_decoder import attach_decoder as attach

    return attach(settings, work.inputs["model"], work.inputs["autoencoder"], out=work.out)
