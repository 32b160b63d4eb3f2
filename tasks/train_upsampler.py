"""Stage `train_upsampler`: what makes full frames of a dataset's small ones, for models in two stages."""

from __future__ import annotations

from dataclasses import replace

from tasks.stage import Stage, Workspace, stage
from worldgen_core.outcome import Outcome
from worldgen_core.training.diamond_settings import UpsamplerSettings


def _core(settings: UpsamplerSettings) -> tuple[str, ...]:
    return ("worldgen_core.training.upsampler", f"worldgen_core.games.{settings.game}")


@stage(section="upsampler", core=_core, packages=("torch", "numpy", "safetensors", "matplotlib"))
def train_upsampler(settings: UpsamplerSettings, work: Workspace) -> Outcome:
    """Train the upsampler on the dataset's full frames."""
    from worldgen_core.training.upsampler import train_upsampler as train

    return train(settings, work.inputs["dataset"], out=work.out, resume=work.resume, progress=work.progress)


def train_upsampler_of(settings: UpsamplerSettings) -> Stage[UpsamplerSettings]:
    """The stage, which names its settings in a plan's reasons as `--set` takes them."""
    section = "upsampler_small" if settings.model == "diamond-small" else "upsampler"
    return replace(train_upsampler, section=section)
