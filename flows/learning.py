"""The part that every recipe shares: from a dataset to a measured, published model.

Reads like the list of its stages; what a model has no use for is named as not needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from storage.champions import Champion, incumbent_for
from storage.location import open_store
from storage.manifest import ArtifactRef
from tasks.benchmark import benchmark
from tasks.encode_latents import encode_latents
from tasks.evaluate import evaluate
from tasks.publish_model import publish
from tasks.steps import Steps
from tasks.train_autoencoder import train_autoencoder
from tasks.train_model import train_model
from worldgen_core.config import Config
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
    game and dataset.
    """
    model = _train(config, dataset, call, start)
    report = call(evaluate, config.evaluate, model=model, dataset=dataset)
    call(benchmark, config.benchmark, model=model)
    rival = incumbent or incumbent_for(open_store().root, config.game, config.capture.dataset_name, model)
    decision = call(
        publish,
        config.publish,
        model=model,
        report=report,
        incumbent_report=rival.report if rival else None,
    )
    return Learned(model, report, decision)


def _train(config: Config, dataset: ArtifactRef, call: Steps, start: ArtifactRef | None) -> ArtifactRef:
    if not config.needs_latents:
        reason = f"{config.model} works on pixels"
        call.not_needed(train_autoencoder, reason)
        call.not_needed(encode_latents, reason)
        return call(train_model, config.train, dataset=dataset, start=start)
    autoencoder = call(train_autoencoder, config.autoencoder, dataset=dataset)
    latents = call(encode_latents, config.latents, dataset=dataset, autoencoder=autoencoder)
    return call(
        train_model, config.train, dataset=dataset, latents=latents, autoencoder=autoencoder, start=start
    )


def architecture_of(model: ArtifactRef) -> ModelName:
    """Which architecture a weights artifact holds, from its card."""
    path = open_store().path(model) / "model.json"
    name: ModelName = json.loads(path.read_text())["model"]
    return name


def is_promoted(decision: ArtifactRef) -> bool:
    """Whether the publish stage decided for the model."""
    path = open_store().path(decision) / "decision.json"
    return bool(json.loads(path.read_text())["promote"])
