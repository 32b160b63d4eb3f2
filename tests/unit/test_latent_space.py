"""An autoencoder's folder and the normalisation of its latents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.latent_data import latent_space
from worldgen_core.errors import CheckpointError
from worldgen_core.models.latent_space import (
    AUTOENCODER_CARD_FILE,
    AUTOENCODER_WEIGHTS_FILE,
    load_latent_space,
    save_latent_space,
)


def test_latents_are_normalised_by_the_cards_statistics() -> None:
    space, obs = latent_space(), torch.rand(3, 3, 16, 8) * 2 - 1
    mean, std = torch.tensor([0.5, 0.0, -1.0, 2.0]), torch.tensor([2.0, 1.0, 0.5, 4.0])
    raw = space.network.encode(obs)
    torch.testing.assert_close(space.encode(obs), (raw - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(space.decode(space.encode(obs)), space.network.decode(raw).clamp(-1, 1))
    assert space.latent_shape == (4, 4, 2)


def test_folder_round_trip(tmp_path: Path) -> None:
    space, obs = latent_space(), torch.rand(1, 3, 16, 8)
    save_latent_space(space, tmp_path)
    loaded = load_latent_space(tmp_path)
    assert loaded.card == space.card
    assert torch.equal(loaded.encode(obs), space.encode(obs))
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=AUTOENCODER_CARD_FILE):
        load_latent_space(tmp_path)
    save_latent_space(latent_space(), tmp_path)
    (tmp_path / AUTOENCODER_WEIGHTS_FILE).write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match=AUTOENCODER_WEIGHTS_FILE):
        load_latent_space(tmp_path)


def test_card_of_another_network_is_refused(tmp_path: Path) -> None:
    save_latent_space(latent_space(), tmp_path)
    path = tmp_path / AUTOENCODER_CARD_FILE
    card = json.loads(path.read_text())
    card["architecture"]["settings"]["width"] = 16
    path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="tensors differ"):
        load_latent_space(tmp_path)
