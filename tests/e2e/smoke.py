"""What the smoke builds of test_smoke.py and test_smoke_models.py have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from flows.building import BuildResult
from storage.artifacts import ArtifactStore
from storage.manifest import Manifest
from tests.e2e.fingerprints import unseen_modules
from worldgen_core.config import make_config
from worldgen_core.games.catalogue import get_game
from worldgen_core.models.load import load_world_model
from worldgen_core.names import ModelName

CORES = {
    "train_agent": ("worldgen_core.agents.train:train_agent", []),
    "capture": ("worldgen_core.agents.capture:capture", ["policies"]),
    "train_autoencoder": ("worldgen_core.training.autoencoder:train_autoencoder", ["dataset"]),
    "encode_latents": ("worldgen_core.training.latents:encode_latents", ["dataset", "autoencoder"]),
    "finetune_decoder": (
        "worldgen_core.training.finetune_decoder:finetune_decoder",
        ["dataset", "latents", "autoencoder"],
    ),
    "distil_decoder": (
        "worldgen_core.training.distil_decoder:distil_decoder",
        ["dataset", "latents", "autoencoder"],
    ),
    "attach_decoder": ("worldgen_core.training.attach_decoder:attach_decoder", ["model", "autoencoder"]),
    "train_model/direct": ("worldgen_core.training.direct:train_direct", ["dataset", "start"]),
    "train_model/diamond-vae": (
        "worldgen_core.training.diamond_vae:train_diamond_vae",
        ["dataset", "latents", "autoencoder", "start"],
    ),
    "train_model/diamond": (
        "worldgen_core.training.diamond:train_diamond",
        ["dataset", "upsampler", "start"],
    ),
    "train_model/gamengen": (
        "worldgen_core.training.gamengen:train_gamengen",
        ["dataset", "latents", "autoencoder", "start"],
    ),
    "train_upsampler": ("worldgen_core.training.upsampler:train_upsampler", ["dataset"]),
    "evaluate": ("worldgen_core.evaluation.evaluate:evaluate", ["model", "dataset"]),
    "benchmark": ("worldgen_core.evaluation.benchmark:benchmark", ["model"]),
    "publish": ("worldgen_core.evaluation.promotion:decide", ["model", "report", "incumbent_report"]),
}
"""The core function of each stage, and its inputs in the order in which it takes them."""

SECTIONS = {
    "train_model": "train",
    "train_agent": "agent",
    "train_autoencoder": "autoencoder",
    "encode_latents": "latents",
    "train_upsampler": "upsampler",
}
"""Sections of the settings that are not called as their stage is."""


@dataclass(frozen=True)
class Built:
    """One store in which models were built."""

    store: ArtifactStore
    results: Mapping[str, BuildResult]

    def manifests(self, model: str) -> dict[str, Manifest]:
        """Of every stage that the build of a model needed."""
        return {line.stage: line.manifest for line in self.results[model].stages if line.manifest is not None}

    def states(self, model: str) -> dict[str, str]:
        return {line.stage: line.state for line in self.results[model].stages}

    def folder(self, model: str, stage: str) -> Path:
        return self.store.path(self.manifests(model)[stage].ref)


def check_loss_fell(built: Built, model: str) -> None:
    lines = (built.folder(model, "train_model") / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    third = max(1, len(losses) // 3)
    assert np.mean(losses[-third:]) < np.mean(losses[:third])


def check_plays_100_frames(built: Built, model: str) -> None:
    dream = load_world_model(built.folder(model, "train_model"))
    simulator = get_game("flappy").make_simulator(7)
    frames = [simulator.frame]
    frames += [simulator.step(0).frame for _ in range(dream.num_context_frames - 1)]
    dream.reset(
        torch.from_numpy(np.stack(frames)[None]),
        torch.zeros(1, dream.num_context_frames - 1, dtype=torch.int64),
        seed=0,
    )
    shown = [dream.step(torch.tensor([int(t % 9 == 0)])).frame for t in range(100)]
    assert shown[-1].dtype == torch.uint8
    assert tuple(shown[-1].shape) == (1, *dream.frame_shape, 3)
    assert not torch.equal(shown[0], shown[50])


def check_fingerprint(built: Built, stage_name: str, build: str, model: ModelName, work: Path) -> None:
    """That the manifest of `build` names every module that the stage's core loads."""
    stage = stage_name.partition("/")[0]
    manifest = built.manifests(build)[stage]
    core, names = CORES[stage_name]
    by_digest = {item.digest: str(built.store.path(item.ref)) for item in built.store.manifests()}
    inputs = [by_digest.get(manifest.key_parts.inputs.get(name, ""), "") for name in names]
    config = make_config("flappy", "smoke", model=model)
    settings = getattr(config, SECTIONS.get(stage, stage))
    assert unseen_modules(core, settings, inputs, manifest, work) == []
