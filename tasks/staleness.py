"""Keys of stages, and the words that explain why one key is not another."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from storage.artifacts import ArtifactStore
from storage.manifest import ArtifactRef, KeyParts, Manifest
from tasks.fingerprint import fingerprint
from worldgen_core.errors import ConfigError


def make_key_parts(
    stage: str,
    *,
    core: Iterable[str],
    settings: dict[str, Any],
    inputs: Mapping[str, str],
    packages: Iterable[str],
    code_root: Path | None = None,
) -> KeyParts:
    """Collect everything that could change a stage's bytes. `inputs` maps names to content digests."""
    return KeyParts(
        stage=stage,
        code=fingerprint(core, root=code_root),
        settings=settings,
        inputs=dict(sorted(inputs.items())),
        packages={name: library_version(name) for name in sorted(packages)},
    )


def library_version(name: str) -> str:
    """Version of an installed library; `python` is the interpreter's own.

    Raises: ConfigError if the library is missing.
    """
    if name == "python":
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"library {name}",
            expected="an installed library, since a stage depends on it",
            found="not installed",
            next_step="pip install -c constraints.txt -e '.[train]'",
        ) from error


def explain(old: KeyParts, new: KeyParts, *, section: str) -> list[str]:
    """Say in short phrases what differs between two keys' parts; empty if nothing does.

    `section` is the config path of the stage's settings, put before each setting's name.
    """
    return [
        *(f"{section}.{line}" for line in _changes(_flatten(old.settings), _flatten(new.settings))),
        *(f"code: {name}" for name in _changed_names(old.code, new.code)),
        *_input_changes(old.inputs, new.inputs),
        *(f"library: {line}" for line in _changes(old.packages, new.packages)),
    ]


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [f"{name} {_show(old, name)} → {_show(new, name)}" for name in _changed_names(old, new)]


def _show(values: Mapping[str, Any], name: str) -> str:
    return str(values[name]) if name in values else "(none)"


def _changed_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    missing = object()
    return [name for name in sorted({*old, *new}) if old.get(name, missing) != new.get(name, missing)]


def _input_changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    kinds = {(False, True): "new ", (True, False): "removed ", (True, True): "changed "}
    return [f"input: {kinds[name in old, name in new]}{name}" for name in _changed_names(old, new)]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{prefix}{name}.")  # pyright: ignore[reportUnknownArgumentType]  -- JSON
        else:
            flat[prefix + name] = value
    return flat


def find_predecessor(
    store: ArtifactStore, parts: KeyParts, earlier: Iterable[ArtifactRef]
) -> Manifest | None:
    """The artifact to compare a missing key with: of the same stage, from the most recent builds first.

    Falls back to the newest artifact of the stage that shares the game. Of a stage that is called once a
    source, both only count if they share the source.
    """
    for ref in earlier:
        if ref.stage == parts.stage and ref.key != parts.key:
            manifest, _ = store.look(ref.stage, ref.key)
            if manifest is not None and _shares("source", manifest, parts):
                return manifest
    alike = [
        manifest
        for manifest in store.manifests(parts.stage)
        if _shares("game", manifest, parts) and _shares("source", manifest, parts)
    ]
    return alike[-1] if alike else None


def _shares(setting: str, manifest: Manifest, parts: KeyParts) -> bool:
    return manifest.key_parts.settings.get(setting) == parts.settings.get(setting)
