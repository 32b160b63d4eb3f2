"""What there is for a champion to learn: the difference between two datasets' episodes."""

from __future__ import annotations

from storage.artifacts import ArtifactStore
from storage.champions import Champion
from storage.manifest import ArtifactRef, Manifest
from storage.schema import EPISODES_FILE
from tasks.capture import capture
from tasks.slice_videos import slice_videos
from tasks.staleness import explain

_SECTIONS = {stage.name: stage.section for stage in (capture, slice_videos)}
_UNKNOWN = "everything: the episodes that the champion was trained on are no longer in the store"


def trained_on(store: ArtifactStore, champion: Champion) -> Manifest | None:
    """The dataset that a champion was trained on; None if it is no longer in the store."""
    inputs = store.manifest(champion.model).key_parts.inputs
    if "model" in inputs:
        # A model with another decoder: what it was trained on is what the model was trained on.
        trained = _by_digest(store, inputs["model"])
        inputs = trained.key_parts.inputs if trained else {}
    return _by_digest(store, inputs.get("dataset", ""))


def whats_new(store: ArtifactStore, champion: Champion, dataset: ArtifactRef) -> tuple[str, ...]:
    """What of a dataset the champion was not trained on, in short phrases; empty if there is nothing.

    A video that gave no episode is no news, and neither is a change that leaves all episodes as they were.
    In a plan the dataset may still have to be made; that counts as news.
    """
    before, now = trained_on(store, champion), _by_digest(store, dataset.digest)
    if now is None:
        return (f"episodes that {dataset.stage} is to make",)
    if before is None:
        return (_UNKNOWN,)
    # This file lists every episode with its digest.
    if before.files[EPISODES_FILE].sha256 == now.files[EPISODES_FILE].sha256:
        return ()
    return tuple(explain(before.key_parts, now.key_parts, section=_SECTIONS[now.stage]))


def _by_digest(store: ArtifactStore, digest: str) -> Manifest | None:
    """The newest artifact of this content."""
    found = [manifest for manifest in store.manifests() if digest and manifest.digest == digest]
    return found[-1] if found else None
