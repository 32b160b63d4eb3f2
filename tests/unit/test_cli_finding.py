"""Which models `worldgen play` finds and lists, and what it says of those that it cannot take."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli import finding
from flows.cli.finding import find_model, find_options
from storage.artifacts import ArtifactStore
from storage.manifest import Manifest
from tests.unit.test_artifacts import parts_of, publish
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.models.card import ModelCard


@pytest.fixture
def store(store_root: Path) -> ArtifactStore:
    finding._warn_once.cache_clear()  # pyright: ignore[reportPrivateUsage]
    return ArtifactStore(store_root)


def publish_model(
    store: ArtifactStore, seed: int, *, stage: str = "train_model", game: str = "flappy", card: bytes = b""
) -> Manifest:
    own = ModelCard(
        model="direct",
        game=game,
        action_names=("idle", "flap"),
        height=8,
        width=8,
        fps=30.0,
        settings={},
        num_parameters={"total": seed},
        dataset={"name": "smoke"},
        training={},
        weights_sha256={},
    )
    parts = parts_of(stage, seed=seed)
    return publish(store, parts, {"model.json": card or own.model_dump_json().encode()})


def name_of(manifest: Manifest) -> str:
    return f"{manifest.stage}/{manifest.key}"


def test_a_card_that_cannot_be_read_is_left_out_and_named_once(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = publish_model(store, 1)
    damaged = publish_model(store, 2, card=b"{")
    found = find_model("flappy", None, "")
    assert found.model == store.path(sound.ref)
    assert [option.num_parameters for option in find_options(found)] == [1]
    [line] = capsys.readouterr().err.splitlines()
    assert f"{store.path(damaged.ref)}/model.json" in line
    with pytest.raises(CheckpointError, match="the card of a model"):
        find_model("flappy", None, name_of(damaged))


def test_a_model_of_another_game_is_refused(store: ArtifactStore) -> None:
    other = publish_model(store, 1, game="overworld")
    with pytest.raises(ConfigError, match="a model of flappy") as caught:
        find_model("flappy", None, name_of(other))
    assert "overworld" in caught.value.found
    found = find_model("pokemon", None, name_of(other))
    assert found.model == store.path(other.ref), "the sample's game is played as pokemon is"


def test_models_with_another_decoder_are_listed_too(store: ArtifactStore) -> None:
    plain = publish_model(store, 1)
    light = publish_model(store, 2, stage="attach_decoder")
    options = find_options(find_model("flappy", None, name_of(plain)))
    assert [option.option_id for option in options] == [
        f"train_model/{store.path(plain.ref).name}",
        f"attach_decoder/{store.path(light.ref).name}",
    ]
    again = find_options(find_model("flappy", None, name_of(light)))
    assert [option.num_parameters for option in again] == [2, 1]
