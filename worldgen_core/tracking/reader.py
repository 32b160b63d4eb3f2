"""Finds the player in a single frame, recorded or dreamt: where it stands and which way it looks.

Every pose of the bank is laid over every place, or over those near a known place, sharp and somewhat blurred.
How well a pose fits is worldgen_core/tracking/matching.py's affair; here is decided what counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from worldgen_core.tracking.matching import NO_MATCH, Match, Templates, Windows, make_templates
from worldgen_core.tracking.settings import FACINGS, Facing, TrackingSettings
from worldgen_core.tracking.sprites import SpriteBank

_NUM_CANDIDATES = 10
_CLOSE = 2
_SURE = 0.9
"""Score from which nothing better is looked for."""
_PRICE_OF_A_PIXEL = 0.015
"""Score that a match near a known place loses a pixel of its distance."""
_GHOST_SHARE = 0.88
"""A second player elsewhere, that scores this share of the best one, makes both doubtful."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one frame shows of the player.

    `x` and `y` are the upper left corner of its box in pixels of the frame. `score` is 1 for a perfect match
    and given even if it is too low to count; `pose` is the bank's pose that fits best. Where the player is
    not found, places and pose are -1 and `facing` is None.
    """

    found: bool
    x: int
    y: int
    facing: Facing | None
    score: float
    pose: int = -1

    @property
    def place(self) -> tuple[int, int] | None:
        """(x, y), as `SpriteReader.read` takes it for `near`; None where not found."""
        return (self.x, self.y) if self.found else None


class SpriteReader:
    """Reads frames with a bank.

    Cost: on one core about 10 ms for a whole frame of 120 x 80 with 16 poses, 2 ms near a known place.
    """

    def __init__(self, bank: SpriteBank, settings: TrackingSettings) -> None:
        self.bank = bank
        self.settings = settings
        self._sharp, self._soft = make_templates(bank)
        self._typical = _typical(self._sharp, bank)

    def read(self, frame: UInt8[np.ndarray, "h w 3"], near: tuple[int, int] | None = None) -> Sighting:
        """The player in a frame; `near` is where (x, y) it was just before.

        Near a known place less is demanded than anywhere in the frame, where a second player makes both
        doubtful.
        """
        windows = self._windows(frame)
        if near is None:
            return self._read_anywhere(windows)
        match = self._near(windows, near)
        least_anywhere, least_near = self.bank.min_score.tolist()
        if match.score < least_anywhere:
            anywhere = self._read_anywhere(windows)
            if anywhere.found and (match.score < least_near or anywhere.score * _GHOST_SHARE > match.score):
                return anywhere
        return self._sighting(match, is_found=match.score >= least_near)

    def score_near(self, frame: UInt8[np.ndarray, "h w 3"], near: tuple[int, int]) -> float:
        """How well the player fits about a place (x, y), whether that is found enough or not."""
        return self._near(self._windows(frame), near).score

    def score_twice(self, frame: UInt8[np.ndarray, "h w 3"]) -> tuple[float, float]:
        """How well the player fits at the best place, and at the best one that does not touch it."""
        best, other = self._anywhere(self._windows(frame))
        return best.score, other.score

    def _windows(self, frame: UInt8[np.ndarray, "h w 3"]) -> Windows:
        settings, box = self.settings, self.bank.box
        return Windows(
            frame,
            (box.height, box.width),
            border=settings.max_hidden_px,
            colour_tolerance=settings.colour_tolerance,
        )

    def _near(self, windows: Windows, near: tuple[int, int]) -> Match:
        """The best match near a place; of like ones the nearer, which tells when only a cap is to be seen."""
        x, y = near

        def worth(match: Match) -> float:
            return match.score - _PRICE_OF_A_PIXEL * max(abs(match.y - y), abs(match.x - x))

        close = max(windows.matches(windows.around(y, x, _CLOSE), self._sharp), key=worth)
        if close.score >= _SURE:
            return close
        places = windows.around(y, x, self.settings.max_step)
        return max(windows.matches(places, self._sharp) + windows.matches(places, self._soft), key=worth)

    def _read_anywhere(self, windows: Windows) -> Sighting:
        best, other = self._anywhere(windows)
        is_found = best.score >= float(self.bank.min_score[0]) and other.score < _GHOST_SHARE * best.score
        return self._sighting(best, is_found=is_found)

    def _anywhere(self, windows: Windows) -> tuple[Match, Match]:
        """The best match of the whole frame, and the best one that does not touch it."""
        box = self.bank.box
        places = windows.candidates(self._typical, _NUM_CANDIDATES)
        matches = sorted(
            windows.matches(places, self._sharp) + windows.matches(places, self._soft), reverse=True
        )
        first = matches[0]
        apart = (
            match
            for match in matches
            if abs(match.y - first.y) >= box.height // 2 or abs(match.x - first.x) >= box.width // 2
        )
        other = next(apart, NO_MATCH)
        best = first
        if first.score < _SURE:
            around = windows.around(first.y, first.x, 1)
            best = max(first, *(windows.matches(around, own)[0] for own in (self._sharp, self._soft)))
        return best, other

    def _sighting(self, match: Match, *, is_found: bool) -> Sighting:
        if not is_found:
            return Sighting(False, -1, -1, None, match.score)
        return Sighting(True, match.x, match.y, self.bank.facing_of(match.pose), match.score, match.pose)


def _typical(templates: Templates, bank: SpriteBank) -> Templates:
    """The most frequent pose of each facing, to choose candidates by."""
    poses = [
        int(np.where(bank.facing == index, bank.num_examples, -1).argmax()) for index in range(len(FACINGS))
    ]
    return Templates(templates.weight[poses], templates.colour[poses])
