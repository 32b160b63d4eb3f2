"""The published sizes take one training step here; a GPU takes the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storage.records import DatasetInfo, Episode
from storage.shards import write_dataset
from worldgen_core.config import make_config
from worldgen_core.games.catalogue import get_game
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


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Real frames of the game at its own size."""
    game = get_game("flappy")
    simulator = game.make_simulator(3)
    frames = [simulator.frame, *(simulator.step(int(t % 18 == 0)).frame for t in range(24))]
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
    info = DatasetInfo("flappy", "paper", game.height, game.width, game.fps, game.action_names)
    write_dataset(folder, info, episodes)
    return folder


def one_step(settings: DirectSettings | DiamondVaeSettings) -> dict[str, object]:
    loop = settings.loop.model_copy(update=ONE_LOOP)
    return {"phases": ONE_STEP, "loop": loop}


def folder(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path


def test_direct_takes_a_step(dataset: Path, tmp_path: Path) -> None:
    settings = make_config("flappy", "paper", device="cpu").direct
    out = folder(tmp_path, "model")
    outcome = train_direct(
        settings.model_copy(update=one_step(settings)),
        *(dataset, None),
        out=out,
        resume=tmp_path / "resume",
        progress=silent,
    )
    assert np.isfinite(outcome.metrics["loss"])


def test_diamond_vae_takes_a_step(dataset: Path, tmp_path: Path) -> None:
    config = make_config("flappy", "paper", model="diamond-vae", device="cpu")
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
