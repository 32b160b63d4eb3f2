"""Runs one stage's core function in this process alone and prints which first-party modules were loaded.

Imports nothing of flows or tasks, which would load modules of their own and hide what the core uses.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any


def main(core: str, settings_class: str, settings: str, inputs: str, work: str) -> None:
    function = load(core)
    out, resume = Path(work) / "out", Path(work) / "resume"
    out.mkdir()
    resume.mkdir()
    extra = {"out": out, "resume": resume, "progress": lambda _event: None}
    accepted = inspect.signature(function).parameters
    keywords = {name: value for name, value in extra.items() if name in accepted}
    folders = [Path(path) if path else None for path in json.loads(inputs)]
    function(load(settings_class).model_validate_json(settings), *folders, **keywords)
    loaded = [name for name in sys.modules if name.partition(".")[0] in ("worldgen_core", "storage")]
    print(json.dumps(sorted(loaded)))


def load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


if __name__ == "__main__":
    main(*sys.argv[1:])
