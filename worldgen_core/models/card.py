"""A model folder: `model.json` says what it is, `model.safetensors` holds the weights, proved by a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from storage.atomic import write_bytes
from worldgen_core.errors import CheckpointError
from worldgen_core.models.weights import read_safetensors, write_safetensors

CARD_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT_VERSION = 1
S = TypeVar("S", bound=BaseModel)

_NEXT_STEP = (
    "name another model folder, or run `worldgen artifacts verify`, which names what is damaged and the build"
    " that makes it again"
)


class ModelCard(BaseModel):
    """What `model.json` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    """Version of this folder's layout."""
    model: str
    """Which architecture: "direct", "diamond-vae" …"""
    game: str
    """The game it dreams."""
    action_names: tuple[str, ...]
    """Names of the actions, by id."""
    height: int
    """Rows of a frame."""
    width: int
    """Columns of a frame."""
    fps: float
    """Frames a second at which it was trained."""
    settings: dict[str, Any]
    """Settings of the network, as JSON."""
    num_parameters: dict[str, int]
    """Parameters by part."""
    dataset: dict[str, Any]
    """What it was trained on: name and counts."""
    training: dict[str, Any]
    """Summary of the training: steps, seed, last losses."""
    weights_sha256: dict[str, str]
    """Digest of each weights file in the folder."""
    reward_head: dict[str, Any] | None = None
    """Settings of the head in reward.safetensors, as JSON. None: the model tells no rewards."""


def settings_of(card: ModelCard, kind: type[S]) -> S:
    """The settings of the card's network.

    Raises: CheckpointError if they are not those of today's architecture.
    """
    return parse_settings(card.settings, kind, field="settings", owner=f"a {card.model} model")


def parse_settings(given: Mapping[str, Any], kind: type[S], *, field: str, owner: str) -> S:
    """Settings in a field of the card, as a part of the model reads them.

    Raises: CheckpointError if they are not those of today's architecture.
    """
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise CheckpointError(
            f"{CARD_FILE}: {field}",
            expected=f"those of {owner}",
            found=str(error).splitlines()[0],
            next_step="train the model again, or name another model folder",
        ) from error


def count_parameters(module: nn.Module) -> dict[str, int]:
    """Parameters of each direct part of a module, and "total"."""
    parts = {
        name: sum(value.numel() for value in part.parameters()) for name, part in module.named_children()
    }
    own = sum(value.numel() for value in module.parameters(recurse=False))
    parts = {name: count for name, count in parts.items() if count} | ({"own": own} if own else {})
    return {**parts, "total": sum(value.numel() for value in module.parameters())}


def write_weights(folder: Path, tensors: Mapping[str, Tensor], *, file_name: str = WEIGHTS_FILE) -> str:
    """Write a weights file into a model folder and return its digest for the card."""
    path = folder / file_name
    write_safetensors(
        path, {name: value.cpu().contiguous() for name, value in tensors.items()}, {"format": "pt"}
    )
    return _digest(path)


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `model.json`, last of all, so that a folder with a card is whole."""
    text = json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    write_bytes(folder / CARD_FILE, text.encode())


def read_card(folder: Path) -> ModelCard:
    """Read and check `model.json`.

    Raises: CheckpointError.
    """
    path = folder / CARD_FILE
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(
            str(path),
            expected="the card of a model",
            found=_reason(error),
            next_step=_NEXT_STEP,
        ) from error


def _reason(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}, not {first['input']!r:.40}" if place else first["msg"]


def read_weights(folder: Path, card: ModelCard, *, file_name: str = WEIGHTS_FILE) -> dict[str, Tensor]:
    """Read a weights file of a model folder, proved by the card's digest.

    Raises: CheckpointError if it is missing, truncated, changed, or no safetensors file.
    """
    path = folder / file_name
    tensors, _ = read_safetensors(path, next_step=_NEXT_STEP)
    expected, found = card.weights_sha256.get(file_name, "no digest in the card"), _digest(path)
    if expected != found:
        raise CheckpointError(str(path), expected=f"sha256 {expected}", found=found, next_step=_NEXT_STEP)
    return tensors


def fill(module: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Load tensors into a module that must have exactly these names and shapes.

    Raises: CheckpointError if the weights belong to another architecture.
    """
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    wrong = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{source}: {name} ({len(wrong)} of {len(own)} tensors differ)",
            expected=f"shape {own.get(name, 'no such tensor')}",
            found=f"shape {given.get(name, 'no such tensor')}",
            next_step=_NEXT_STEP,
        )
    module.load_state_dict(dict(tensors))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
