"""Stage attach_decoder: a trained world model, shown by another decoder of the same latents.

The decoders are trained apart from the world model, so that neither waits for the other's changes; here they
meet in one model folder. Costs a copy of the model's files.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from worldgen_core.errors import ConfigError
from worldgen_core.models.card import CARD_FILE, ModelCard, read_card, read_weights, write_card
from worldgen_core.models.latent_space import (
    AUTOENCODER_CARD_FILE,
    AUTOENCODER_WEIGHTS_FILE,
    LatentSpace,
    load_latent_space,
    save_latent_space,
)
from worldgen_core.outcome import Outcome
from worldgen_core.training.decoder_settings import AttachDecoderSettings

_PREFIX = "autoencoder_"
"""Of the autoencoder's parts in a model card's counts."""


def attach_decoder(settings: AttachDecoderSettings, model: Path, autoencoder: Path, *, out: Path) -> Outcome:
    """Write the model folder `model` with the decoder of `autoencoder` into `out`.

    A light decoder that loses too much is left out: then the full one beside it is taken.
    Raises: ConfigError if the two have different latents; CheckpointError if either is damaged.
    """
    card = read_card(model)
    for file_name in card.weights_sha256:
        read_weights(model, card, file_name=file_name)  # proves the digest
    own, other = load_latent_space(model), load_latent_space(autoencoder)
    _check_same_latents(own, other, model, autoencoder)
    kept = {CARD_FILE, AUTOENCODER_CARD_FILE, AUTOENCODER_WEIGHTS_FILE}
    for path in model.iterdir():
        if path.name in card.weights_sha256.keys() - kept:
            shutil.copyfile(path, out / path.name)
    full_db, light = other.card.psnr_db, other.card.light_decoder
    if light is None:
        headline = f"full decoder, PSNR {full_db:.1f} dB"
    elif full_db - light.psnr_db <= settings.max_loss_db:
        headline = f"light decoder, PSNR {light.psnr_db:.1f} dB; the full one's {full_db:.1f}"
    else:
        other = other.without_light_decoder()
        headline = (
            f"full decoder, PSNR {full_db:.1f} dB: the light one is {full_db - light.psnr_db:.1f} dB below, "
            f"more than attach_decoder.max_loss_db {settings.max_loss_db:g}"
        )
    changed = _changed(card, other, save_latent_space(other, out))
    write_card(out, changed)
    return Outcome(
        metrics={
            "num_parameters": changed.num_parameters["total"],
            "is_light": other.card.light_decoder is not None,
        },
        headline=headline,
    )


def _check_same_latents(own: LatentSpace, other: LatentSpace, model: Path, autoencoder: Path) -> None:
    """What a world model knows are latents: only what shows them may change."""
    ours, theirs = (
        {name: value for name, value in space.network.state_dict().items() if not name.startswith("decoder.")}
        for space in (own, other)
    )
    is_same = (
        own.card.architecture == other.card.architecture
        and own.card.statistics == other.card.statistics
        and all(torch.equal(value, theirs[name]) for name, value in ours.items())
    )
    if not is_same:
        raise ConfigError(
            f"{autoencoder}: encoder and statistics",
            expected=f"those of the autoencoder in {model}",
            found="others",
            next_step="name a decoder that was trained for this model's autoencoder, or train the model anew",
        )


def _changed(card: ModelCard, space: LatentSpace, digest: str) -> ModelCard:
    """The model's card with the autoencoder's new parts."""
    rest = {name: num for name, num in card.num_parameters.items() if not name.startswith(_PREFIX)}
    before = card.num_parameters[f"{_PREFIX}total"]
    counts = {_PREFIX + name: num for name, num in space.card.num_parameters.items()}
    total = rest["total"] - before + space.card.num_parameters["total"]
    return card.model_copy(
        update={
            "num_parameters": {**rest, **counts, "total": total},
            "weights_sha256": {**card.weights_sha256, AUTOENCODER_WEIGHTS_FILE: digest},
        }
    )
