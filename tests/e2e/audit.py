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


def record_sample(settings: Any, *, out: Path) -> None:
    """The stage `make_sample`, whose core takes plain values."""
    load("worldgen_core.video.samples:make_sample")(out / "videos", **settings.model_dump())


def join_slices(settings: Any, *parts: Path, out: Path) -> None:
    """The stage `slice_videos`, whose core takes its inputs by name."""
    named = {f"part {index}": part for index, part in enumerate(parts)}
    load("worldgen_core.video.slicing:join_slices")(settings, named, out=out)


def load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


if __name__ == "__main__":
    main(*sys.argv[1:])
