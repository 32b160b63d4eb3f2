"""Motion, duplicates, frozen and black stretches, and cuts, from small gray pictures in one pass.

Memory: a few numbers a frame and two pictures. How a cut is told from play: scrolling and fading leave the
coarse picture correlated with the one before (on tile games 99.9 % of the frames above 0.9, unrelated scenes
mostly below 0.5), so a cut is a fall of that correlation that also changes most parts of the picture, which a
dialog does not, and that stands out from its surroundings. A change next to a black stretch is a door and no
cut, and neither is a flash that gives the old picture back. Thresholds: `scene_settings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from worldgen_core.video.records import Picture, Stretch
from worldgen_core.video.scene_settings import SceneSettings

_COARSE = (48, 32)
_MARGINS = (6, 8)
_PARTS = 4
_FLAT_VARIANCE = 24.0
"""Added to the sums of squares: a nearly even picture correlates with nothing."""
_SURROUNDINGS = 8
_SCROLL_MARGIN = 1.5
_FASTEST_SCROLL = 20.0
_BRIGHT_SHARE = 0.99


@dataclass(frozen=True, slots=True)
class Scenes:
    """Signals of every frame, and stretches in the order of their first frames.

    `motion[i]` is the mean absolute change from the frame before to frame i in grey levels, 0 for the first
    frame and for frames that could not be decoded.
    """

    motion: Float32[np.ndarray, " n"]
    is_duplicate: Bool[np.ndarray, " n"]
    is_black: Bool[np.ndarray, " n"]
    stretches: tuple[Stretch, ...]


def scan(
    pictures: Iterable[Picture],
    num_frames: int,
    settings: SceneSettings,
    *,
    active: Bool[np.ndarray, " n"] | None = None,
) -> Scenes:
    """Signals and stretches of a video of `num_frames` frames, from its gray pictures by ascending index.

    `active` says at which frames a movement key is held: a picture that stands still is only suspicious then.
    """
    scanner = SceneScanner(num_frames, settings)
    for picture in pictures:
        scanner.add(picture.index, picture.frame[:, :, 0])
    return scanner.finish(active)


class SceneScanner:
    """Takes gray pictures one by one."""

    def __init__(self, num_frames: int, settings: SceneSettings) -> None:
        self._settings = settings
        self._motion = np.zeros(num_frames, np.float32)
        self._is_duplicate = np.zeros(num_frames, dtype=bool)
        self._bright = np.full(num_frames, 255.0, np.float32)
        self._change = np.zeros(num_frames, np.float32)
        self._candidates: list[int] = []
        self._previous: np.ndarray | None = None
        self._coarse = np.zeros(_COARSE[::-1], np.float32)
        self._before_flash: tuple[int, np.ndarray] | None = None
        self._is_armed = True

    def add(self, index: int, gray: UInt8[np.ndarray, "h w"]) -> None:
        """The next picture; indices rise, and may leave out frames that were lost."""
        coarse = _coarse(gray)
        self._bright[index] = _bright_level(gray)
        if self._previous is not None:
            self._compare(index, cv2.absdiff(self._previous, gray), coarse)
        self._previous, self._coarse = gray, coarse

    def _compare(self, index: int, difference: np.ndarray, coarse: np.ndarray) -> None:
        settings = self._settings
        motion = float(cv2.mean(difference)[0])
        self._motion[index] = motion
        largest = cv2.minMaxLoc(difference)[1]
        self._is_duplicate[index] = motion <= settings.duplicate_mean and largest <= settings.duplicate_level
        change = _unlikeness(self._coarse, coarse, settings.cut_leave)
        self._change[index] = change
        if self._is_flash_over(index, coarse):
            return
        if change < settings.cut_leave:
            self._is_armed = True
        elif change >= settings.cut_enter and self._is_armed:
            # Parts that only scroll on, as they did before, are none that changed.
            scrolling = min(_SCROLL_MARGIN * float(self._motion[index - 1]), _FASTEST_SCROLL)
            level = max(settings.cut_level, scrolling)
            if _changed_share(difference, level) >= settings.cut_parts:
                self._candidates.append(index)
                self._before_flash = (index, self._coarse)
            self._is_armed = False

    def _is_flash_over(self, index: int, coarse: np.ndarray) -> bool:
        """True if the picture before the last candidate is back; the candidate was a flash."""
        if self._before_flash is None:
            return False
        first, before = self._before_flash
        if index - first > self._settings.flash_frames:
            self._before_flash = None
            return False
        if _unlikeness(before, coarse, self._settings.cut_leave) >= self._settings.cut_leave:
            return False
        self._candidates.remove(first)
        self._before_flash = None
        self._is_armed = True
        return True

    def finish(self, active: Bool[np.ndarray, " n"] | None = None) -> Scenes:
        """Signals and stretches of what was added."""
        is_black = black_frames(self._bright, self._settings)
        stretches = [Stretch("black", first, last) for first, last in runs(is_black)]
        stretches += still_stretches(self._is_duplicate, active, self._settings)
        stretches += [
            Stretch("cut", index, index) for index in self._candidates if self._is_cut(index, is_black)
        ]
        stretches.sort(key=lambda stretch: (stretch.first, stretch.kind))
        return Scenes(self._motion, self._is_duplicate, is_black, tuple(stretches))

    def _is_cut(self, index: int, is_black: np.ndarray) -> bool:
        """Whether a sudden change is no door and stands out from its surroundings."""
        door = self._settings.door_frames
        if is_black[max(0, index - door) : index + door + 1].any():
            return False
        around = self._change[max(0, index - _SURROUNDINGS) : index + _SURROUNDINGS + 1]
        return bool(self._change[index] >= self._settings.cut_contrast * np.median(around))


def black_frames(bright: Float32[np.ndarray, " n"], settings: SceneSettings) -> Bool[np.ndarray, " n"]:
    """Which frames are black by the level of their bright pixels, with hysteresis: noise splits nothing."""
    is_black = np.zeros(bright.size, dtype=bool)
    for first, last in runs(bright <= settings.black_leave):
        below = np.flatnonzero(bright[first : last + 1] <= settings.black_enter)
        if below.size:
            is_black[first + int(below[0]) : last + 1] = True
    return is_black


def still_stretches(
    is_duplicate: Bool[np.ndarray, " n"], active: Bool[np.ndarray, " n"] | None, settings: SceneSettings
) -> list[Stretch]:
    """Runs of duplicates: `frozen` where a movement key was held for long in vain, else `duplicate`.

    Without `active` only a much longer run counts as frozen. A frozen stretch starts at its first held frame.
    """
    stretches: list[Stretch] = []
    for first, last in runs(is_duplicate):
        start = first
        if active is None:
            is_frozen = last - first + 1 >= settings.frozen_frames_unlabelled
        else:
            held = np.flatnonzero(active[first : last + 1])
            is_frozen = held.size >= settings.frozen_frames
            start = first + int(held[0]) if is_frozen else first
        if is_frozen and start > first:
            stretches.append(Stretch("duplicate", first, start - 1))
        stretches.append(Stretch("frozen" if is_frozen else "duplicate", start, last))
    return stretches


def runs(mask: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """First and last index of each unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]


def _coarse(gray: np.ndarray) -> np.ndarray:
    """The picture at 48x32, mean 0."""
    small = cv2.resize(gray, _COARSE, interpolation=cv2.INTER_AREA).astype(np.float32)
    return small - small.mean()


def _unlikeness(before: np.ndarray, after: np.ndarray, enough: float) -> float:
    """1 minus the correlation of two coarse pictures; where that is not small `enough`, of the best shift.

    The shift reaches an eighth of the width and a fifth of the height: fast scrolling is no other scene.
    """
    energy = (np.vdot(before, before) + _FLAT_VARIANCE) * (np.vdot(after, after) + _FLAT_VARIANCE)
    unlikeness = 1 - float(np.vdot(before, after) / np.sqrt(energy))
    if unlikeness < enough or min(before.std(), after.std()) < 1:
        return unlikeness
    y, x = _MARGINS
    shifted = cv2.matchTemplate(after, before[y:-y, x:-x], cv2.TM_CCOEFF_NORMED)
    return min(unlikeness, 1 - float(cv2.minMaxLoc(shifted)[1]))


def _bright_level(gray: np.ndarray) -> int:
    """The level that 99 of 100 pixels do not exceed."""
    counts = np.cumsum(cv2.calcHist([gray], [0], None, [256], [0, 256]))
    return int(np.searchsorted(counts, _BRIGHT_SHARE * gray.size))


def _changed_share(difference: np.ndarray, level: float) -> float:
    """Share of the parts of the picture that changed by more than `level` in the mean."""
    means = [
        part.mean()
        for rows in np.array_split(difference, _PARTS, axis=0)
        for part in np.array_split(rows, _PARTS, axis=1)
    ]
    return float(np.mean(np.array(means) > level))
