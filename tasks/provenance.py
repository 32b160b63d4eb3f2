"""Where an artifact was made: machine, commit, libraries. Recorded in manifests, never part of a digest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path

from storage.location import project_root


@lru_cache(maxsize=1)
def describe_machine() -> dict[str, str]:
    """Processor, cores, system and Python version of this machine."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


@lru_cache(maxsize=1)
def git_commit() -> str:
    """The checkout's commit, with `+` where files differ from it; `unknown` where git does not say."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+" if changed else "")


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    """Versions of every installed library."""
    found = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
    return dict(sorted(found.items()))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=project_root(), check=True, capture_output=True, text=True, timeout=10
    )
    return done.stdout.strip()
