"""What counts as new for a champion: other episodes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.news import trained_on, whats_new
from storage.artifacts import ArtifactStore
from storage.champions import Champion
from storage.manifest import ArtifactRef, Manifest
from tests.unit.test_artifacts import parts_of, publish

EPISODES = {"episodes.parquet": b"two", "report.json": b"{}"}


@pytest.fixture
def store(store_root: Path) -> ArtifactStore:
    return ArtifactStore(store_root)


def dataset(store: ArtifactStore, files: dict[str, bytes], **inputs: str) -> Manifest:
    return publish(store, parts_of("slice_videos", inputs, game="pokemon"), files)


def champion_of(store: ArtifactStore, digest: str) -> Champion:
    model = publish(store, parts_of("train_model", {"dataset": digest}), {"model.json": b"{}"}).ref
    return Champion(
        game="pokemon", dataset_name="city", model=model, report=model, decision=model, promoted_at="t"
    )


def test_a_new_video_with_episodes_is_news(store: ArtifactStore) -> None:
    before = dataset(store, EPISODES, town="1")
    champion = champion_of(store, before.digest)
    assert trained_on(store, champion) == before
    assert whats_new(store, champion, before.ref) == ()
    now = dataset(store, {**EPISODES, "episodes.parquet": b"three"}, town="2", village="3")
    assert whats_new(store, champion, now.ref) == ("input: changed town", "input: new village")


def test_a_video_that_gave_no_episode_is_no_news(store: ArtifactStore) -> None:
    champion = champion_of(store, dataset(store, EPISODES, town="1").digest)
    now = dataset(store, {**EPISODES, "report.json": b'{"broken": true}'}, town="1", broken="2")
    assert whats_new(store, champion, now.ref) == ()


def test_what_is_still_to_be_made_counts_as_news(store: ArtifactStore) -> None:
    champion = champion_of(store, dataset(store, EPISODES, town="1").digest)
    to_come = ArtifactRef(stage="slice_videos", key="k", digest="")
    assert whats_new(store, champion, to_come) == ("episodes that slice_videos is to make",)


def test_a_champion_whose_episodes_are_gone_has_everything_to_learn(store: ArtifactStore) -> None:
    now = dataset(store, EPISODES, town="1")
    [reason] = whats_new(store, champion_of(store, "collected"), now.ref)
    assert reason.startswith("everything")
