"""The part that every recipe shares: from a dataset to a measured, published model.

Reads like the list of its stages; what a model has no use for is named as not needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from storage.artifacts import ArtifactStore
from storage.champions import Champion, incumbent_for, read_champion
from storage.errors import StorageError
from storage.location import open_store
from storage.manifest import ArtifactRef
from tasks.attach_decoder import attach_decoder
from tasks.benchmark import benchmark
from tasks.distil_decoder import distil_decoder
from tasks.encode_latents import encode_latents, encode_latents_of
from tasks.evaluate import evaluate
from tasks.finetune_decoder import finetune_decoder
from tasks.publish_model import publish
from tasks.steps import Steps
from tasks.train_autoencoder import train_autoencoder, train_autoencoder_of
from tasks.train_model import train_model_of
from tasks.train_upsampler import train_upsampler, train_upsampler_of
from worldgen_core.config import Config
from worldgen_core.errors import CheckpointError
from worldgen_core.names import ModelName


@dataclass(frozen=True)
class Learned:
    """What a recipe ends with."""

    model: ArtifactRef
    report: ArtifactRef
    decision: ArtifactRef


def learn(
    config: Config,
    dataset: ArtifactRef,
    call: Steps,
    *,
    start: ArtifactRef | None = None,
    incumbent: Champion | None = None,
) -> Learned:
    """Train a model on a dataset, measure it, decide on its promotion.

    `start` gives the weights to train on from. `incumbent` is whom to beat; by default the champion of the
    game and dataset. It is measured as the new model is: on the same play, under the same settings.
    """
    model = _train(config, dataset, call, start)
    return _compare(config, model, dataset, call, incumbent or _incumbent(config, model))


def keep(config: Config, champion: Champion, dataset: ArtifactRef, call: Steps, *, reason: str) -> Learned:
    """Leave a champion as it is, since `reason`; its measurements are found again, or made anew."""
    latent_stages = (train_autoencoder, encode_latents, finetune_decoder, distil_decoder)
    for stage in (*latent_stages, train_model_of(config.train), attach_decoder):
        call.not_needed(stage, reason)
    return _compare(config, champion.model, dataset, call, _incumbent(config, champion.model))


def _compare(
    config: Config, model: ArtifactRef, dataset: ArtifactRef, call: Steps, rival: Champion | None
) -> Learned:
    bar = None if rival is None else _measure_again(config, rival, dataset, call)
    report = call(evaluate, config.evaluate, model=model, dataset=dataset)
    call(benchmark, config.benchmark, model=model)
    decision = call(publish, config.publish, model=model, report=report, incumbent_report=bar)
    return Learned(model, report, decision)


def _train(config: Config, dataset: ArtifactRef, call: Steps, start: ArtifactRef | None) -> ArtifactRef:
    train_model = train_model_of(config.train)
    upsampler = _upsampler(config, dataset, call, start)
    settings = config.train_autoencoder
    if settings is None:
        reason = f"{config.model} works on pixels"
        call.not_needed(train_autoencoder, reason)
        call.not_needed(encode_latents, reason)
        _no_decoders(call, reason)
        model = call(train_model, config.train, dataset=dataset, upsampler=upsampler, start=start)
        call.not_needed(attach_decoder, reason)
        return model
    if start is not None:
        # The latents of its own autoencoder are all that a model knows; its folder holds that, too.
        call.not_needed(train_autoencoder, "the model to train on from brings its own")
        autoencoder = start
    else:
        autoencoder = call(train_autoencoder_of(settings), settings, dataset=dataset)
    latents = call(encode_latents_of(settings), config.latents, dataset=dataset, autoencoder=autoencoder)
    known = {"dataset": dataset, "latents": latents, "autoencoder": autoencoder}
    if start is not None:
        _no_decoders(call, "the model to train on from brings its own")
        shown_by = autoencoder
    else:
        shown_by = _decoder(config, known, call)
    # It learns from latents alone: another decoder is no reason to train it again.
    model = call(train_model, config.train, **known, start=start)
    if shown_by == autoencoder:
        call.not_needed(attach_decoder, "the decoder is that of the autoencoder")
        return model
    return call(attach_decoder, config.attach_decoder, model=model, autoencoder=shown_by)


def _decoder(config: Config, known: Mapping[str, ArtifactRef], call: Steps) -> ArtifactRef:
    """The autoencoder with the decoder that the settings ask for, of the same latents."""
    shown_by = known["autoencoder"]
    for stage, settings in (
        (finetune_decoder, config.finetune_decoder),
        (distil_decoder, config.distil_decoder),
    ):
        if settings.is_on:
            shown_by = call(stage, settings, **{**known, "autoencoder": shown_by})
        else:
            call.not_needed(stage, f"{stage.section}.is_on is false")
    return shown_by


def _no_decoders(call: Steps, reason: str) -> None:
    call.not_needed(finetune_decoder, reason)
    call.not_needed(distil_decoder, reason)


def _upsampler(
    config: Config, dataset: ArtifactRef, call: Steps, start: ArtifactRef | None
) -> ArtifactRef | None:
    """What enlarges the frames of a model in two stages; None for a model in one."""
    settings = config.train_upsampler
    if settings is None:
        call.not_needed(train_upsampler, f"{config.model} makes full frames itself")
        return None
    if start is not None:
        call.not_needed(train_upsampler, "the model to train on from brings its own")
        return start
    return call(train_upsampler_of(settings), settings, dataset=dataset)


def _incumbent(config: Config, model: ArtifactRef) -> Champion | None:
    """Whom `model` has to beat; the champion of today where a garbage collection took whom it once beat."""
    store, dataset_name = open_store(), config.dataset_name
    rival = incumbent_for(store.root, config.game, dataset_name, model)
    if rival is None or _is_here(store, rival.model):
        return rival
    return read_champion(store.root, config.game, dataset_name)


def _is_here(store: ArtifactStore, ref: ArtifactRef) -> bool:
    """Whether an artifact is whole on this machine; writes nothing, since a plan asks too."""
    return store.folder(ref.stage, ref.key).is_dir() and store.look(ref.stage, ref.key)[0] is not None


def _measure_again(config: Config, rival: Champion, dataset: ArtifactRef, call: Steps) -> ArtifactRef:
    settings = config.evaluate.model_copy(update={"model": architecture_of(rival)})
    try:
        return call(evaluate, settings, model=rival.model, dataset=dataset)
    except CheckpointError as error:
        # It is whole, or the store would have said so: this version builds its architecture another way.
        raise _unreadable(rival, error.what, error.found) from error


def architecture_of(champion: Champion) -> ModelName:
    """Which architecture a champion's model has, from its card.

    Raises: StorageError if the card is gone, damaged, or of an architecture that is unknown here.
    """
    ref = champion.model
    path = open_store().folder(ref.stage, ref.key) / "model.json"
    try:
        name = json.loads(path.read_bytes())["model"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(champion, str(path), f"{type(error).__name__}: {error}") from error
    for known in get_args(ModelName):
        if name == known:
            return known
    raise _unreadable(champion, str(path), f"model {name!r}")


def _unreadable(champion: Champion, path: str, found: str) -> StorageError:
    return StorageError(
        f"the champion of {champion.game}, dataset {champion.dataset_name}: {path}",
        expected=f"a model that this version can open, one of {', '.join(get_args(ModelName))}",
        found=found,
        next_step=f"bring the folder back from a copy of the store; or remove "
        f"refs/{champion.game}/{champion.dataset_name}/champion.json there, so that the next build's model "
        "takes its place; what was built is kept",
    )


def is_promoted(decision: ArtifactRef) -> bool:
    """Whether the publish stage decided for the model."""
    path = open_store().path(decision) / "decision.json"
    return bool(json.loads(path.read_text())["promote"])
