"""The published sizes take one training step here; a GPU takes the rest."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from storage.records import DatasetInfo, Episode
from storage.shards import write_dataset
from worldgen_core.config import Config, make_config
from worldgen_core.games.catalogue import get_facts, get_game, get_tile_game
from worldgen_core.models.card import read_card
from worldgen_core.progress import silent
from worldgen_core.training.autoencoder import train_autoencoder
from worldgen_core.training.diamond_vae import train_diamond_vae
from worldgen_core.training.diamond_vae_settings import DiamondVaeSettings
from worldgen_core.training.direct import train_direct
from worldgen_core.training.direct_settings import DirectSettings
from worldgen_core.training.latents import encode_latents
from worldgen_core.training.phases import UnrollPhase

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

ONE_STEP = (UnrollPhase(unroll=1, batch_size=1, num_steps=1),)
ONE_LOOP = {"log_every": 1, "checkpoint_every": 1, "device": "cpu"}


def played(config: Config) -> list[np.ndarray]:
    """Frames of a game at the size that this profile records."""
    if config.game == "flappy":
        simulator = get_game("flappy").make_simulator(3)
        return [simulator.frame, *(simulator.step(int(t % 18 == 0)).frame for t in range(24))]
    world, size = get_tile_game("overworld").make_simulator(3), (config.slices.width, config.slices.height)
    frames = [world.frame]
    for t in range(24):
        world.advance(1 + t // 6)
        frames.append(world.frame)
    return [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]


@pytest.fixture(params=["flappy", "pokemon"])
def config(request: pytest.FixtureRequest) -> Config:
    return make_config(request.param, "paper", device="cpu")


@pytest.fixture
def dataset(config: Config, tmp_path: Path) -> Path:
    frames, facts = played(config), get_facts("flappy" if config.game == "flappy" else "overworld")
    num = len(frames)
    episodes = (
        Episode(
            episode_id=split,
            source="{}",
            split=split,
            frames=np.stack(frames),
            action=np.array([int(t % 18 == 0) for t in range(num)], np.int64),
            reward=np.full(num, 0.1, np.float32),
            terminated=np.zeros(num, bool),
            truncated=np.zeros(num, bool),
            pts=np.arange(num),
            source_frame=np.arange(num),
        )
        for split in ("train", "validation")
    )
    folder = tmp_path / "dataset"
    height, width = frames[0].shape[:2]
    info = DatasetInfo(facts.name, "paper", height, width, 15.0, facts.action_names)
    write_dataset(folder, info, episodes)
    return folder


def one_step(settings: DirectSettings | DiamondVaeSettings) -> dict[str, object]:
    loop = settings.loop.model_copy(update=ONE_LOOP)
    reward = settings.reward.model_copy(update={"num_steps": 1})
    return {"phases": ONE_STEP, "loop": loop, "reward": reward}


def folder(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path


def test_direct_takes_a_step(config: Config, dataset: Path, tmp_path: Path) -> None:
    settings = config.direct
    out = folder(tmp_path, "model")
    fit = {"num_examples": 1, "unroll": 1, "num_windows": 1, "num_steps": 1}
    changes = {**one_step(settings), "prior": settings.prior.model_copy(update=fit)}
    outcome = train_direct(
        settings.model_copy(update=changes),
        *(dataset, None),
        out=out,
        resume=tmp_path / "resume",
        progress=silent,
    )
    assert np.isfinite(outcome.metrics["loss"])


def test_diamond_vae_is_the_published_model_and_takes_a_step(
    config: Config, dataset: Path, tmp_path: Path
) -> None:
    assert config.model == "diamond-vae"
    autoencoder, latents, model = (folder(tmp_path, name) for name in ("autoencoder", "latents", "model"))
    loop = config.autoencoder.loop.model_copy(update=ONE_LOOP)
    changes = {"num_steps": 1, "batch_size": 1, "loop": loop}
    train_autoencoder(
        config.autoencoder.model_copy(update=changes),
        dataset,
        out=autoencoder,
        resume=tmp_path / "r1",
        progress=silent,
    )
    encode_latents(config.latents, dataset, autoencoder, out=latents, resume=tmp_path / "r2", progress=silent)
    outcome = train_diamond_vae(
        config.diamond_vae.model_copy(update=one_step(config.diamond_vae)),
        *(dataset, latents, autoencoder, None),
        out=model,
        resume=tmp_path / "r3",
        progress=silent,
    )
    assert np.isfinite(outcome.metrics["loss"])
    assert read_card(model).num_parameters["total"] > 73_830_788
