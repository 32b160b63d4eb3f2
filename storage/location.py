"""Where the store is: `WORLDGEN_STORE`, a folder or an fsspec URL; by default `.worldgen/` here."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from storage.artifacts import ArtifactStore
from storage.remote import RemoteMirror

ENVIRONMENT_NAME = "WORLDGEN_STORE"


def project_root() -> Path:
    """The checkout (or site-packages folder) that holds worldgen's own packages."""
    return Path(__file__).resolve().parent.parent


def store_root() -> Path:
    """The local folder of the store; with a remote URL, the local side of that mirror."""
    value = os.environ.get(ENVIRONMENT_NAME, "")
    default = project_root() / ".worldgen"
    if "://" in value:
        return default / "mirrors" / hashlib.sha256(value.encode()).hexdigest()[:12]
    return Path(value).expanduser().absolute() if value else default


def open_store() -> ArtifactStore:
    """Open the store that the environment names. Touches no disk."""
    value = os.environ.get(ENVIRONMENT_NAME, "")
    return ArtifactStore(store_root(), remote=RemoteMirror(value) if "://" in value else None)
