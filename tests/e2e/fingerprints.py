"""Which first-party modules a stage's core loads that its fingerprint did not see."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from storage.manifest import Manifest
from tasks.fingerprint import is_neutral

ROOT = Path(__file__).parents[2]

LOADED_FOR_DECLARATIONS = {"storage", "storage.records"}
"""What settings and errors load for a type or a base class; a core that uses them imports them itself."""


def _shortened(settings: BaseModel) -> BaseModel:
    """One training step of each kind: a longer training loads nothing more."""
    values = dict(settings)
    if "phases" in values:
        phases = tuple(phase.model_copy(update={"num_steps": 1}) for phase in values["phases"])
        return settings.model_copy(update={"phases": phases})
    return settings.model_copy(update={"num_steps": 2}) if "num_steps" in values else settings


def unseen_modules(
    core: str, settings: BaseModel, inputs: Sequence[str], manifest: Manifest, work: Path
) -> list[str]:
    """Run `core` (module:function) in a process of its own on the folders `inputs`, "" for none."""
    class_name = f"{type(settings).__module__}:{type(settings).__name__}"
    words = [core, class_name, _shortened(settings).model_dump_json(), json.dumps(list(inputs)), str(work)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.audit", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    seen = set(manifest.key_parts.code)
    return [
        name
        for name in json.loads(done.stdout.splitlines()[-1])
        if not is_neutral(name)
        and name not in LOADED_FOR_DECLARATIONS
        and not {f"{name.replace('.', '/')}.py", f"{name.replace('.', '/')}/__init__.py"} & seen
    ]
