"""Reads a label file: finds its format by its content, or takes the one that is named."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType

from worldgen_core.errors import LabelError
from worldgen_core.video.formats import events, frames, jsonl, names, runs
from worldgen_core.video.formats.text import LabelText, Line, decode
from worldgen_core.video.keymap import KeyMap
from worldgen_core.video.labels import Labels
from worldgen_core.video.safe_files import read_bytes, shown
from worldgen_core.video.settings import FormatName, TimeUnit

FORMATS: dict[str, ModuleType] = {module.NAME: module for module in (jsonl, events, runs, frames, names)}
"""Every format, in the order in which they are tried."""

_SAMPLE_LINES = 50
_FORMS = (
    "one action a line; frame,action; start end action; time_ms,event,key; or JSON lines "
    "(see worldgen_core/video/formats)"
)


def read_labels(
    path: Path,
    keymap: KeyMap,
    format: FormatName | None = None,
    *,
    folder: Path | None = None,
    time_unit: TimeUnit = "auto",
    ignores_unknown: bool = False,
    max_bytes: int = 64 * 2**20,
) -> Labels:
    """Read a label file inside `folder` (default: the one it lies in); `format` None goes by its content.

    Raises: LabelError that names file and line.
    """
    content = read_bytes(folder or path.parent, path, max_bytes=max_bytes, error=LabelError)
    name = shown(path.name)
    source = LabelText(name, decode(name, content), keymap, time_unit, ignores_unknown)
    sample = list(islice(source.lines(), _SAMPLE_LINES))
    if not sample:
        raise LabelError(
            name,
            expected=_FORMS,
            found="no line that says anything",
            next_step="write the labels into the file",
        )
    module = FORMATS[format] if format else _detect(source, sample)
    labels: Labels = module.read(source)
    return labels


def _detect(source: LabelText, sample: Sequence[Line]) -> ModuleType:
    """The first format whose form the lines have; damage in later lines is the format's own to report."""
    for lines in (sample, sample[:5], sample[:1]):
        for module in FORMATS.values():
            if module.looks_like(lines):
                return module
    raise LabelError(
        f"{source.name}, line {sample[0].number}",
        expected=_FORMS,
        found=repr(sample[0].text[:60]),
        next_step="name the format: format: … in worldgen.yaml",
    )
