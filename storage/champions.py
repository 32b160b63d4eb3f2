"""Champions: the promoted model of a game and dataset, with an append-only history beside it.

refs/GAME/DATASET/champion.json     the promoted model and its report
refs/GAME/DATASET/history.jsonl     one line a promotion, oldest first
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.atomic import disk_errors, write_json
from storage.errors import ShardCorruptError, StorageError
from storage.manifest import ArtifactRef


class Champion(BaseModel):
    """A promoted model, the report that earned it, and whom it replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str
    dataset_name: str
    model: ArtifactRef
    report: ArtifactRef
    decision: ArtifactRef
    promoted_at: str
    """UTC, ISO 8601."""


def _folder(root: Path, game: str, dataset_name: str) -> Path:
    return root / "refs" / game / dataset_name


def read_champion(root: Path, game: str, dataset_name: str) -> Champion | None:
    """The champion of a game and dataset, or None before the first promotion."""
    path = _folder(root, game, dataset_name) / "champion.json"
    if not path.is_file():
        return None
    return _parse(path.read_text(), path)


def require_champion(root: Path, game: str, dataset_name: str) -> Champion:
    """The champion of a game and dataset.

    Raises: StorageError before the first promotion, with what to build.
    """
    champion = read_champion(root, game, dataset_name)
    if champion is None:
        raise StorageError(
            f"no champion of {game}, dataset {dataset_name}",
            expected="a promoted model",
            found=f"nothing in {_folder(root, game, dataset_name)}",
            next_step=f"worldgen build {game}",
        )
    return champion


def read_history(root: Path, game: str, dataset_name: str) -> list[Champion]:
    """Every promotion so far, oldest first."""
    path = _folder(root, game, dataset_name) / "history.jsonl"
    return [_parse(line, path) for line in path.read_text().splitlines()] if path.is_file() else []


def read_champions(root: Path) -> list[Champion]:
    """The champions of all games and datasets."""
    return [_parse(path.read_text(), path) for path in sorted((root / "refs").glob("*/*/champion.json"))]


def incumbent_for(root: Path, game: str, dataset_name: str, model: ArtifactRef) -> Champion | None:
    """Whom `model` has to beat: the champion, or whom `model` itself once replaced.

    So the answer stays the same after a promotion, and publishing again is no news.
    """
    history = read_history(root, game, dataset_name)
    for position, entry in enumerate(history):
        if entry.model.digest == model.digest:
            return history[position - 1] if position else None
    return read_champion(root, game, dataset_name)


def promote(root: Path, champion: Champion) -> None:
    """Append to the history, then swing the pointer; a crash in between is mended by the same call again."""
    folder = _folder(root, champion.game, champion.dataset_name)
    history = read_history(root, champion.game, champion.dataset_name)
    if all(entry.model.digest != champion.model.digest for entry in history):
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "history.jsonl").open("a") as file:
                file.write(json.dumps(champion.model_dump(mode="json"), sort_keys=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
    write_json(folder / "champion.json", champion.model_dump(mode="json"))


def _parse(text: str, path: Path) -> Champion:
    try:
        return Champion.model_validate_json(text)
    except ValidationError as error:
        raise ShardCorruptError(
            f"{path}: not a readable champion record",
            expected="the JSON that worldgen wrote",
            found=f"{error.error_count()} wrong fields",
            next_step=f"remove {path}; the next build promotes its model again",
        ) from error
