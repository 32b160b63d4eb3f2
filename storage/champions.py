"""Champions: the promoted model of a game and dataset, with an append-only history beside it.

refs/GAME/DATASET/champion.json     the promoted model and its report
refs/GAME/DATASET/history.jsonl     one line a promotion, oldest first
"""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.atomic import write_bytes, write_json
from storage.errors import ShardCorruptError, StorageError
from storage.locks import hold_lock
from storage.manifest import ArtifactRef


class Champion(BaseModel):
    """A promoted model, the report that earned it, and the decision with its reasons."""

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
    return _read_pointer(path) if path.is_file() else None


def newest_champion(root: Path, game: str, dataset_name: str | None = None) -> Champion | None:
    """The champion of a game and dataset; with None for the dataset, whichever was promoted last."""
    if dataset_name is not None:
        return read_champion(root, game, dataset_name)
    own = [champion for champion in read_champions(root) if champion.game == game]
    return max(own, key=lambda champion: champion.promoted_at, default=None)


def require_champion(root: Path, game: str, dataset_name: str | None, *, build: str = "") -> Champion:
    """`newest_champion`, where there has to be one.

    Raises: StorageError before the first promotion, with the command that builds one (by default the plain
    one of the game).
    """
    champion = newest_champion(root, game, dataset_name)
    if champion is None:
        where = root / "refs" / game if dataset_name is None else _folder(root, game, dataset_name)
        raise StorageError(
            f"no champion of {game}" + (f", dataset {dataset_name}" if dataset_name else ""),
            expected="a promoted model",
            found=f"nothing in {where}",
            next_step=build or f"worldgen build {game}",
        )
    return champion


def read_history(root: Path, game: str, dataset_name: str) -> list[Champion]:
    """Every promotion so far, oldest first."""
    path = _folder(root, game, dataset_name) / "history.jsonl"
    if not path.is_file():
        return []
    return [_parse_line(line, number, path) for number, line in enumerate(path.read_bytes().splitlines(), 1)]


def read_champions(root: Path) -> list[Champion]:
    """The champions of all games and datasets."""
    return [_read_pointer(path) for path in sorted((root / "refs").glob("*/*/champion.json"))]


def incumbent_for(root: Path, game: str, dataset_name: str, model: ArtifactRef) -> Champion | None:
    """Whom `model` has to beat: the champion, or whom `model` itself once replaced.

    So the answer stays the same after a promotion, and publishing again is no news.
    """
    reigns = _reigns(root, game, dataset_name)
    for position, entry in enumerate(reigns):
        if entry.model.digest == model.digest:
            return reigns[position - 1] if position else None
    return read_champion(root, game, dataset_name)


def promote(root: Path, champion: Champion) -> bool:
    """Append to the history, then swing the pointer; a crash in between is mended by the same call again.

    Returns whether the model is the champion now. One that was replaced since does not come back: that its
    old decision is found again, cached, says nothing against whoever replaced it.
    """
    folder = _folder(root, champion.game, champion.dataset_name)
    with hold_lock(root / "locks" / f"champion-{champion.game}-{champion.dataset_name}.lock"):
        reigns = _reigns(root, champion.game, champion.dataset_name)
        digests = [entry.model.digest for entry in reigns]
        before = read_champion(root, champion.game, champion.dataset_name)
        if champion.model.digest not in digests:
            lines = [json.dumps(item.model_dump(mode="json"), sort_keys=True) for item in [*reigns, champion]]
            write_bytes(folder / "history.jsonl", "".join(f"{line}\n" for line in lines).encode())
        elif before is not None and champion.model.digest not in (before.model.digest, digests[-1]):
            return False
        write_json(folder / "champion.json", champion.model_dump(mode="json"))
    return True


def _reigns(root: Path, game: str, dataset_name: str) -> list[Champion]:
    """The history; the champion is part of it, though somebody removed its damaged line."""
    history, champion = read_history(root, game, dataset_name), read_champion(root, game, dataset_name)
    if champion is None or any(entry.model.digest == champion.model.digest for entry in history):
        return history
    return [*history, champion]


def _read_pointer(path: Path) -> Champion:
    try:
        return Champion.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ShardCorruptError(
            f"{path}: not a readable champion record",
            expected="the JSON that worldgen wrote",
            found=f"{error.error_count()} wrong fields",
            next_step="make it again from the last promotion: "
            f"tail -n 1 {quote(str(path.with_name('history.jsonl')))} > {quote(str(path))}",
        ) from error


def _parse_line(line: bytes, number: int, path: Path) -> Champion:
    try:
        return Champion.model_validate_json(line)
    except ValidationError as error:
        raise ShardCorruptError(
            f"{path}: line {number} is not a readable promotion",
            expected="the JSON that worldgen wrote",
            found=repr(line[:60].decode(errors="replace")),
            next_step="take out this line alone, which keeps all other promotions: "
            f"sed -i.bak {number}d {quote(str(path))}",
        ) from error
