"""Imports a published DIAMOND checkpoint (denoiser and upsampler) as a `diamond` model folder.

The size of both networks is read off the shapes of their weights; samplers and constants are those of the
authors' default for play, and `compat="diamond"` makes the network do what the weights were trained with.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from worldgen_core.diffusion.edm import EdmSettings
from worldgen_core.diffusion.samplers import SamplerSettings
from worldgen_core.errors import CheckpointError
from worldgen_core.importing.diamond_layout import converted, unet_settings
from worldgen_core.importing.restricted import NEXT_STEP, read_foreign_weights
from worldgen_core.models.card import (
    WEIGHTS_FILE,
    ModelCard,
    count_parameters,
    fill,
    write_card,
    write_weights,
)
from worldgen_core.models.pixel_denoiser import PixelDenoiser, PixelDenoiserSettings, PixelStageSettings
from worldgen_core.models.upsampler import (
    UPSAMPLER_WEIGHTS_FILE,
    DiamondCardSettings,
    UpsamplerCardSettings,
)

EDM = EdmSettings(sigma_data=0.5, sigma_offset_noise=0.1)
LOW_SAMPLER = SamplerSettings(num_steps=3)
UPSAMPLER_SAMPLER = SamplerSettings(
    num_steps=10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9
)


class DiamondFacts(BaseModel):
    """What a checkpoint does not say of itself; the defaults are those of the Counter-Strike model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str = "csgo"
    """What it dreams."""
    height: int = Field(default=150, ge=1)
    """Rows of a full frame."""
    width: int = Field(default=280, ge=1)
    """Columns of a full frame."""
    factor: int = Field(default=5, ge=1)
    """Full size over low resolution."""
    fps: float = Field(default=16.0, gt=0)
    """Frames a second of the recordings."""


def import_diamond(source: Path, out: Path, facts: DiamondFacts) -> ModelCard:
    """Convert the checkpoint `source` into the model folder `out` and return its card.

    Their actions may be several keys at once; here an action is one of their keys, by number.
    Raises: CheckpointError if the file is refused or holds another network; nothing is written then.
    """
    weights = read_foreign_weights(source)
    denoiser, stage = _stage(source, weights, "denoiser", LOW_SAMPLER, context_noise=0.005)
    upsampler, upsampler_stage = _stage(source, weights, "upsampler", UPSAMPLER_SAMPLER, context_noise=0.0)
    settings = DiamondCardSettings(
        stage=stage, upsampler=UpsamplerCardSettings(stage=upsampler_stage, factor=facts.factor)
    )
    assert denoiser.num_actions is not None
    own, other = count_parameters(denoiser), count_parameters(upsampler)
    out.mkdir(parents=True, exist_ok=True)
    digests = {
        WEIGHTS_FILE: write_weights(out, denoiser.state_dict()),
        UPSAMPLER_WEIGHTS_FILE: write_weights(out, upsampler.state_dict(), file_name=UPSAMPLER_WEIGHTS_FILE),
    }
    card = ModelCard(
        model="diamond",
        game=facts.game,
        action_names=tuple(str(action) for action in range(denoiser.num_actions)),
        height=facts.height,
        width=facts.width,
        fps=facts.fps,
        settings=settings.model_dump(mode="json"),
        num_parameters={**own, "upsampler": other["total"], "total": own["total"] + other["total"]},
        dataset={"name": "not known: an import"},
        training={"imported_from": source.name, "sha256": _digest(source)},
        weights_sha256=digests,
    )
    write_card(out, card)
    return card


def _stage(
    source: Path, weights: dict[str, Tensor], name: str, sampler: SamplerSettings, *, context_noise: float
) -> tuple[PixelDenoiser, PixelStageSettings]:
    """One of the two networks, filled, and how it is sampled."""
    prefix, is_upsampler = f"{name}.", name == "upsampler"
    tensors = converted(
        {key.removeprefix(prefix): value.float() for key, value in weights.items() if key.startswith(prefix)}
    )
    try:
        unet = unet_settings(tensors, num_guides=int(is_upsampler))
        embedding = None if is_upsampler else tensors["unet.action_embedding.weight"]
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{source}: {name}",
            expected="the weights of DIAMOND's denoiser and upsampler, as its branch csgo saves them",
            found=f"{len(tensors)} tensors of this name; {' '.join(str(error).split())[:120]}",
            next_step=NEXT_STEP,
        ) from error
    denoiser = PixelDenoiserSettings(
        unet=unet, edm=EDM, has_context_noise=not is_upsampler, end_width=None, compat="diamond"
    )
    network = PixelDenoiser(denoiser, num_actions=None if embedding is None else len(embedding))
    fill(network, tensors, source=f"{source}: {name}")
    return network, PixelStageSettings(denoiser=denoiser, sampler=sampler, context_noise=context_noise)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
