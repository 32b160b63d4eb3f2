"""Times and held keys: what the formats with time stamps share.

A stamp is kept in whole nanoseconds. Stamps that count from 1970 are taken relative to the recorder's
VIDEO_START (or, without one, START) event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import numpy as np

from worldgen_core.video.formats.text import LabelText
from worldgen_core.video.keymap import HeldKeysNow, Key
from worldgen_core.video.labels import HeldKeys, Origin, drop_repeats

_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_EPOCH_NS = 10**17
"""Three years after 1970: no recording is so long."""
_MAX_NS = 4 * 10**18

TIME_COLUMNS: dict[str, str] = {
    "time": "",
    "timestamp": "",
    "t": "",
    "time_s": "s",
    "seconds": "s",
    "timestamp_s": "s",
    "time_ms": "ms",
    "ms": "ms",
    "timestamp_ms": "ms",
    "t_ms": "ms",
    "time_us": "us",
    "timestamp_us": "us",
    "time_ns": "ns",
    "timestamp_ns": "ns",
}
"""Names of a time column -> its unit; "" where the name does not say."""


@dataclass
class _Change:
    """What happens at a moment: keys go down or up, or exactly these are held."""

    line: int
    time: Decimal
    kind: str
    keys: tuple[Key, ...]


@dataclass
class Recording:
    """Events in the order of the file, with their times as written."""

    source: LabelText
    unit: str
    """Unit of the time column, "" if its name does not say."""
    changes: list[_Change] = field(default_factory=list[_Change])
    starts: list[Decimal] = field(default_factory=list[Decimal])
    """Times of VIDEO_START, else of START."""
    ends: list[Decimal] = field(default_factory=list[Decimal])
    """Times of VIDEO_END."""

    def add(self, line: int, time: Decimal, kind: str, keys: Sequence[Key]) -> None:
        """Note keys that go `down` or `up`, or that are exactly those `held`."""
        self.changes.append(_Change(line, time, kind, tuple(keys)))

    def held_keys(self, format_name: str, notes: tuple[str, ...]) -> HeldKeys:
        """Turn the events into the action that holds from each moment on.

        Raises: LabelError for unknown keys, or for times that count from 1970 without a start event.
        """
        unit_ns = self._unit_ns()
        origin_ns = self._origin_ns(unit_ns)
        end_ns = _ns(self.ends[0], unit_ns) - origin_ns if self.ends else _MAX_NS
        stamps = [_ns(change.time, unit_ns) - origin_ns for change in self.changes]
        order = sorted(range(len(stamps)), key=stamps.__getitem__)
        if order != list(range(len(stamps))):
            notes += ("events were not in the order of their times and were sorted",)
        held = HeldKeysNow(self.source.keymap)
        times: list[int] = []
        actions: list[int] = []
        for index in order:
            change = self.changes[index]
            {"down": held.press, "up": held.release, "held": held.replace}[change.kind](change.keys)
            if stamps[index] <= end_ns:
                times.append(max(stamps[index], 0))
                actions.append(held.action)
        notes += self.source.finish(may_ignore=True)
        changes, kept = drop_repeats(times, actions)
        return HeldKeys(
            Origin(self.source.name, format_name, notes),
            np.array(changes, np.int64),
            np.array(kept, np.int64),
            last_ns=times[-1] if times else 0,
            resolution_ns=self._resolution_ns(unit_ns),
        )

    def _unit_ns(self) -> int:
        """Nanoseconds of the unit; a column that does not say its unit goes by how its times are written."""
        if self.source.time_unit != "auto":
            return _NS[self.source.time_unit]
        if self.unit:
            return _NS[self.unit]
        times = [change.time for change in self.changes] + self.starts
        largest = max(times, default=Decimal(0))
        for digits, unit in ((17, "ns"), (14, "us"), (11, "ms")):
            if largest >= 10**digits:
                return _NS[unit]
        has_point = any(_exponent(time) < 0 for time in times)
        return _NS["s" if has_point or largest >= 10**9 else "ms"]

    def _origin_ns(self, unit_ns: int) -> int:
        if self.starts:
            return _ns(self.starts[0], unit_ns)
        late = next((change for change in self.changes if _ns(change.time, unit_ns) > _EPOCH_NS), None)
        if late is not None:
            self.source.fail(
                late.line,
                "times since the video's first frame, or an event VIDEO_START",
                f"{late.time}, which counts from 1970",
                "subtract the time of the first frame, or add a line VIDEO_START with it",
            )
        return 0

    def _resolution_ns(self, unit_ns: int) -> int:
        places = max((-_exponent(change.time) for change in self.changes), default=0)
        return max(1, unit_ns // 10 ** min(max(places, 0), 18))


def parse_time(source: LabelText, text: str, line: int) -> Decimal:
    """A time stamp: a finite number, 0 or more."""
    try:
        time = Decimal(text) if len(text) <= 40 else Decimal("NaN")
    except InvalidOperation:
        time = Decimal("NaN")
    if not time.is_finite() or time < 0 or time > _MAX_NS:
        source.fail(line, "a time, finite and 0 or more", repr(text[:40]))
    return time


def _exponent(time: Decimal) -> int:
    exponent = time.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _ns(time: Decimal, unit_ns: int) -> int:
    return min(int((time * unit_ns).to_integral_value()), _MAX_NS)
