"""Which model a command means when none is named, and which dataset it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from storage.artifacts import ArtifactStore
    from storage.manifest import Manifest
    from worldgen_core.models.card import ModelCard
    from worldgen_core.play.choices import ModelOption

MODEL_STAGES = ("train_model", "attach_decoder")
"""Those that publish model folders, in the order in which a build runs them."""


@dataclass(frozen=True)
class Found:
    """Folders of a model and of its dataset, None if that is gone, and what the model is."""

    model: Path
    dataset: Path | None
    standing: str


def find_model(game: str, dataset_name: str | None, artifact: str) -> Found:
    """The named artifact, else the champion, else the newest model of the game.

    `dataset_name` narrows the last two to models of that dataset.
    Raises: StorageError that says what to build; ConfigError if the artifact is a model of another game.
    """
    from storage.champions import newest_champion
    from storage.location import open_store

    store = open_store()
    champion = newest_champion(store.root, game, dataset_name)
    if artifact:
        manifest, standing = store.resolve(artifact), "the model"
        _require_model_of(game, store.path(manifest.ref), artifact)
    elif champion is not None:
        manifest, standing = store.manifest(champion.model), f"the champion of {game}"
    else:
        manifest = _newest_model(store, game, dataset_name)
        standing = f"the newest model of {game}, which is no champion"
    return Found(store.path(manifest.ref), _dataset_of(store, manifest), standing)


def find_options(found: Found) -> list[ModelOption]:
    """The model that was found, then the others of its game, dataset and frame size, newest first."""
    from storage.champions import read_champions
    from storage.location import open_store
    from storage.manifest import read_manifest
    from worldgen_core.models.card import read_card
    from worldgen_core.play.choices import MAX_MODELS

    store = open_store()
    first = read_manifest(found.model)
    assert first is not None, "find_model has seen it"
    own = read_card(found.model)
    champions = {champion.model.key for champion in read_champions(store.root)}
    speeds = {
        manifest.key_parts.inputs.get("model"): manifest.notes.get("frames_per_s")
        for manifest in store.manifests("benchmark")
    }
    others = [manifest for manifest in _newest_models(store) if manifest.ref != first.ref]
    options: list[ModelOption] = []
    for manifest, card in [(first, own), *_with_cards(store, others)]:
        if _plays_the_same(card, own):
            folder, standing = store.path(manifest.ref), _standing(manifest, champions)
            options.append(_option(manifest, folder, card, standing, speeds.get(manifest.digest)))
    return options[:MAX_MODELS]


def _newest_models(store: ArtifactStore) -> list[Manifest]:
    """Every model that is there, newest first."""
    models = [manifest for stage in MODEL_STAGES for manifest in store.manifests(stage)]
    # Of two made in one second, the later in a build comes first.
    return sorted(models, key=lambda manifest: manifest.created_at)[::-1]


def _with_cards(store: ArtifactStore, models: Iterable[Manifest]) -> Iterator[tuple[Manifest, ModelCard]]:
    """Models and their cards, without those whose card cannot be read: nobody has asked for them."""
    from worldgen_core.errors import CheckpointError
    from worldgen_core.models.card import read_card

    for manifest in models:
        try:
            yield manifest, read_card(store.path(manifest.ref))
        except CheckpointError as error:
            _warn_once(
                f"left out: {error.what}: {error.found}; `worldgen artifacts verify` says what mends it"
            )


@cache
def _warn_once(text: str) -> None:
    typer.echo(text, err=True)


def _require_model_of(game: str, folder: Path, artifact: str) -> None:
    from worldgen_core.config import games_of
    from worldgen_core.errors import ConfigError
    from worldgen_core.models.card import read_card

    card = read_card(folder)
    if card.game not in games_of(game):
        raise ConfigError(
            f"--model {artifact}",
            expected=f"a model of {game}",
            found=f"a {card.model} model of {card.game}",
            next_step=f"name a model of {game}, or leave --model away: its champion or newest model is taken",
        )


def _plays_the_same(card: ModelCard, other: ModelCard) -> bool:
    """Whether one's frames and actions can be given to the other."""
    ours, theirs = (
        (one.game, one.action_names, one.height, one.width, one.dataset.get("name")) for one in (card, other)
    )
    return ours == theirs


def _standing(manifest: Manifest, champions: set[str]) -> str:
    """What tells a model from others of its name, if anything."""
    is_light = bool(manifest.metrics.get("is_light"))
    words = ("champion" if manifest.key in champions else "", "light decoder" if is_light else "")
    return ", ".join(filter(None, words))


def _option(
    manifest: Manifest, folder: Path, card: ModelCard, standing: str, frames_per_s: float | None
) -> ModelOption:
    from worldgen_core.play.choices import ModelOption

    return ModelOption(
        option_id=f"{manifest.stage}/{folder.name}",
        folder=folder,
        name=card.model,
        num_parameters=card.num_parameters["total"],
        standing=standing,
        built_at=manifest.created_at,
        frames_per_s=frames_per_s,
    )


def _newest_model(store: ArtifactStore, game: str, dataset_name: str | None) -> Manifest:
    from storage.errors import StorageError
    from worldgen_core.config import games_of

    for manifest, card in _with_cards(store, _newest_models(store)):
        if card.game in games_of(game) and dataset_name in (None, card.dataset.get("name")):
            return manifest
    raise StorageError(
        f"no model of {game}" + (f", dataset {dataset_name}" if dataset_name else ""),
        expected="a trained model",
        found=f"none in {store.root}",
        next_step=f"worldgen build {game}",
    )


def _dataset_of(store: ArtifactStore, manifest: Manifest) -> Path | None:
    made_of = _ancestors(store, manifest)
    datasets = [
        store.path(other.ref)
        for stage in ("capture", "slice_videos")
        for other in store.manifests(stage)
        if other.digest in made_of
    ]
    return datasets[-1] if datasets else None


def _ancestors(store: ArtifactStore, manifest: Manifest) -> set[str]:
    """Digests of everything that went into an artifact, through latents and the like too."""
    known = {other.digest: other for other in store.manifests()}
    found: set[str] = set()
    waiting = list(manifest.key_parts.inputs.values())
    while waiting:
        digest = waiting.pop()
        if digest not in found:
            found.add(digest)
            waiting += known[digest].key_parts.inputs.values() if digest in known else ()
    return found
