"""The lines of a label file: UTF-8 or UTF-16, any line ends, blank lines and comments left out.

Owns what every format shares: bounds, fields, numbers, and errors that name file and line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from worldgen_core.errors import LabelError
from worldgen_core.video.keymap import Key, KeyMap
from worldgen_core.video.settings import TimeUnit

MAX_LINE = 65_536
"""Characters of the longest line that is read."""

MAX_FRAME = 10**9

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_FRAME = re.compile(r"\+?\d{1,10}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line that says something; `number` counts from 1 over all lines of the file."""

    number: int
    text: str


@dataclass
class _Unknown:
    """An unknown name: how often, and where first."""

    first_line: int
    count: int = 0


@dataclass
class LabelText:
    """A label file that is being read: its text, the names it may use, and what was unknown so far."""

    name: str
    text: str
    keymap: KeyMap
    time_unit: TimeUnit = "auto"
    ignores_unknown: bool = False
    _unknown: dict[str, _Unknown] = field(default_factory=dict[str, _Unknown])
    _keys: dict[str, tuple[Key, ...]] = field(default_factory=dict[str, tuple[Key, ...]])

    def lines(self) -> Iterator[Line]:
        """Lines that are neither blank nor comments.

        Raises: LabelError for a line that is too long.
        """
        start, number = 0, 0
        while start < len(self.text):
            end = self.text.find("\n", start)
            end = len(self.text) if end < 0 else end
            number += 1
            if end - start > MAX_LINE:
                self.fail(number, f"a line of at most {MAX_LINE} characters", f"one of {end - start}")
            text = self.text[start:end].strip()
            start = end + 1
            if text and not text.startswith("#"):
                yield Line(number, text)

    def num_blank(self) -> int:
        """Blank lines before the last line that is not blank."""
        return sum(1 for line in self.text.rstrip().split("\n") if not line.strip())

    def keys(self, name: str, line: int) -> tuple[Key, ...]:
        """The keys that a name stands for; unknown names are counted and stand for none."""
        known = self._keys.get(name)
        if known is not None:
            return known
        keys = self.keymap.keys(name)
        if keys is None:
            self.note_unknown(name, line)
            return ()
        if len(self._keys) < 10_000:
            self._keys[name] = keys
        return keys

    def note_unknown(self, name: str, line: int) -> None:
        """Remember a name that means nothing here."""
        if name in self._unknown or len(self._unknown) < 1_000:
            self._unknown.setdefault(name, _Unknown(line)).count += 1

    def finish(self, *, may_ignore: bool = False) -> tuple[str, ...]:
        """Notes about unknown names, where they may be ignored.

        Raises: LabelError for unknown names otherwise.
        """
        if not self._unknown:
            return ()
        listed = ", ".join(
            f"{name[:40]!r} ({found.count})" for name, found in list(self._unknown.items())[:5]
        )
        if may_ignore and self.ignores_unknown:
            return (f"keys without an action, ignored: {listed}",)
        name, first = next(iter(self._unknown.items()))
        near = self.keymap.nearest(name)
        others = f"; {len(self._unknown)} unknown names in all: {listed}" if len(self._unknown) > 1 else ""
        times = "once" if first.count == 1 else f"{first.count} times"
        hint = f"did you mean {near}? Else map it" if near else "map it"
        raise LabelError(
            f"{self.name}, line {first.first_line}",
            expected=self.keymap.expected(),
            found=f"{name[:40]!r}, {times}{others}",
            next_step=f"{hint}: keymap: {{{name[:40]!r}: …}} in worldgen.yaml or slices.keymap"
            + (", or slices.unknown_keys=ignore" if may_ignore else ""),
        )

    def frame(self, text: str, line: int) -> int:
        """A frame number."""
        if not _FRAME.fullmatch(text) or int(text) > MAX_FRAME:
            self.fail(line, f"a frame number from 0 to {MAX_FRAME}", repr(text[:40]))
        return int(text)

    def fail(self, line: int, expected: str, found: str, next_step: str = "") -> NoReturn:
        """Raise a LabelError that names this file and the line."""
        raise LabelError(
            f"{self.name}, line {line}",
            expected=expected,
            found=found,
            next_step=next_step or "correct the line",
        )


def decode(name: str, content: bytes) -> str:
    """The text with line ends of one kind.

    Raises: LabelError if it is neither UTF-8 nor UTF-16 with its mark, or no text at all.
    """
    mark, encoding = next(((mark, code) for mark, code in _BOMS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, len(mark) + problem.start) + 1
        raise _no_text(name, line, f"bytes that are no {encoding.upper()}") from problem
    if "\0" in text:
        raise _no_text(name, text.count("\n", 0, text.index("\0")) + 1, "a zero byte")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _no_text(name: str, line: int, found: str) -> LabelError:
    return LabelError(
        f"{name}, line {line}",
        expected="text in UTF-8, or in UTF-16 with a byte order mark",
        found=found,
        next_step="save the labels as UTF-8 text",
    )


def delimiter(text: str) -> str | None:
    """What separates the fields of a line: a comma, a tab or a semicolon; None means any white space."""
    return next((mark for mark in ",\t;" if mark in text), None)


def table(
    source: LabelText, header: Callable[[Line], tuple[int, ...] | None], num_columns: int, expected: str
) -> Iterator[tuple[int, list[str]]]:
    """Line number and wanted fields of every line; a header says which columns, else the first ones.

    Raises: LabelError for a line with more or fewer fields than the header, or than `num_columns`.
    """
    columns: tuple[int, ...] = tuple(range(num_columns))
    mark: str | None = None
    for index, line in enumerate(source.lines()):
        if index == 0:
            mark = delimiter(line.text)
            found = header(line)
            if found:
                columns, num_columns = found, len(fields(line.text, mark))
                continue
        row = fields(line.text, mark)
        if len(row) != num_columns:
            source.fail(line.number, f"{num_columns} fields, {expected} among them", repr(line.text[:40]))
        yield line.number, [row[column] for column in columns]


def fields(text: str, mark: str | None) -> list[str]:
    """The fields of a line, without spaces and quotes around them."""
    if mark is None:
        return text.split()
    if '"' not in text:
        return [part.strip() for part in text.split(mark)]
    return [part.strip() for part in next(csv.reader([text], delimiter=mark, skipinitialspace=True))]
