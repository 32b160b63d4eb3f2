"""Where on the screen the player stands while the camera scrolls: the home box.

While the world slides by, the player stays: in its box the last frame copied in place beats the last frame
copied along with the camera. Votes over many scrolling frames give the core of the box; the box then grows
to whatever differs from the background plate, which is what the same place of the world showed before the
player came and after it went.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from worldgen_core.errors import TrackingError
from worldgen_core.tracking.camera import CameraTrack, overlap
from worldgen_core.tracking.settings import TrackingSettings

_MIN_FRAMES = 40
_MAX_VOTING_FRAMES = 400
_MAX_PLATES = 240
_MARGIN = 8
"""Grey levels by which one copy must beat the other."""
_MIN_VOTE = 0.06
_VOTE_SHARE = 0.35
"""Share of the most votes that a pixel of the core must have."""
_MIN_SHARE = 0.2
"""Share of the examples in which a pixel must differ from its plate to belong to the box."""


class Box(NamedTuple):
    """A box of pixels: upper left corner and size."""

    y: int
    x: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True, slots=True)
class Footage:
    """Consecutive frames with the camera's motion through them."""

    frames: UInt8[np.ndarray, "t h w 3"]
    camera: CameraTrack

    def scrolling(self, step: tuple[int, int] | None = None) -> Int64[np.ndarray, " n"]:
        """Frames at which the camera moves, in any direction or along a unit step."""
        shift = self.camera.shift
        does_move = (shift != 0).any(axis=1) if step is None else (np.sign(shift) == step).all(axis=1)
        return np.flatnonzero(does_move)


class Plate(NamedTuple):
    """What the world shows behind a box: colours, and where they are known."""

    colour: Float32[np.ndarray, "h w 3"]
    is_known: Bool[np.ndarray, "h w"]


def find_player_box(footages: list[Footage], settings: TrackingSettings) -> Box:
    """The home box, from all footage of a game.

    Raises: TrackingError if the camera hardly moves or nothing stays in place while it does.
    """
    num_scrolling = sum(len(footage.scrolling()) for footage in footages)
    if num_scrolling < _MIN_FRAMES:
        raise TrackingError(
            "the player's box: the camera hardly moves",
            expected=f"at least {_MIN_FRAMES} frames in which it scrolls",
            found=f"{num_scrolling}",
            next_step="set tracking.scrolls if the game's camera follows the player, raise "
            "tracking.max_shift if it is faster, or give footage with longer walks",
        )
    core = _core(_votes(footages), settings)
    return _refine(footages, core, settings)


def _votes(footages: list[Footage]) -> Float32[np.ndarray, "h w"]:
    """For each pixel the share of scrolling frames that explain it better in place than shifted."""
    height, width = footages[0].frames.shape[1:3]
    votes, counts = np.zeros((height, width), np.float32), np.full((height, width), 1e-6, np.float32)
    for footage, index in spread(footages, _MAX_VOTING_FRAMES):
        now, before = footage.frames[index], footage.frames[index - 1]
        earlier, later = overlap(height, width, *footage.camera.shift[index].tolist())
        in_place = cv2.absdiff(now, before)[later].max(axis=2).astype(np.int16)
        shifted = cv2.absdiff(now[later], before[earlier]).max(axis=2)
        votes[later] += shifted > in_place + _MARGIN
        counts[later] += 1
    return votes / counts


def spread(
    footages: list[Footage], limit: int, step: tuple[int, int] | None = None
) -> list[tuple[Footage, int]]:
    """At most `limit` scrolling frames (of one direction), evenly spread over the footage."""
    pairs = [(footage, int(index)) for footage in footages for index in footage.scrolling(step)]
    chosen = np.linspace(0, len(pairs) - 1, min(limit, len(pairs))).astype(int)
    return [pairs[index] for index in chosen]


def _core(votes: Float32[np.ndarray, "h w"], settings: TrackingSettings) -> Box:
    """The connected region with the most votes."""
    smooth = cv2.GaussianBlur(votes, (0, 0), 0.8)
    is_won = (smooth > max(_MIN_VOTE, _VOTE_SHARE * float(smooth.max()))).astype(np.uint8)
    num_regions, regions, boxes, _ = cv2.connectedComponentsWithStats(is_won)
    sums = [float(votes[regions == region].sum()) for region in range(1, num_regions)]
    if not sums:
        raise TrackingError(
            "the player's box: nothing stays in place while the camera scrolls",
            expected="a region where copies in place beat shifted ones",
            found=f"it is so in at most {float(smooth.max()):.0%} of the frames",
            next_step="check a few frames: the player may not be drawn, or the camera may not follow it",
        )
    x, y, width, height, _ = boxes[1 + int(np.argmax(sums))].tolist()
    if max(width, height) > settings.max_player_px:
        raise TrackingError(
            "the player's box: too much stays in place while the camera scrolls",
            expected=f"a region of at most {settings.max_player_px} pixels",
            found=f"{width} x {height} pixels",
            next_step="raise tracking.max_player_px, or cut frames and status bars away",
        )
    return Box(y, x, height, width)


def _refine(footages: list[Footage], core: Box, settings: TrackingSettings) -> Box:
    """The bounding box of what often differs from the plate, within reach of the core."""
    height, width = footages[0].frames.shape[1:3]
    reach = max(3, (settings.max_player_px - max(core.height, core.width)) // 3)
    top, left = max(core.y - reach, 0), max(core.x - reach, 0)
    bottom = min(core.y + core.height + reach, height)
    right = min(core.x + core.width + reach, width)
    wide = Box(top, left, bottom - top, right - left)
    differs = np.zeros((wide.height, wide.width), np.float32)
    known = np.full_like(differs, 1e-6)
    for footage, index in spread(footages, _MAX_PLATES):
        plate = find_plate(footage, index, wide, settings)
        if plate is None:
            continue
        distance = np.abs(footage.frames[index][wide.slices] - plate.colour).max(axis=2)
        differs += (distance > settings.tolerance) & plate.is_known
        known += plate.is_known
    share = differs / known
    if known.max() < 1:
        return core
    rows, columns = np.flatnonzero((share > _MIN_SHARE).any(1)), np.flatnonzero((share > _MIN_SHARE).any(0))
    if not len(rows):
        return core
    y, x = int(rows[0]), int(columns[0])
    return Box(wide.y + y, wide.x + x, int(rows[-1]) - y + 1, int(columns[-1]) - x + 1)


def find_plate(footage: Footage, index: int, box: Box, settings: TrackingSettings) -> Plate | None:
    """The world behind a box that stays on the screen while the camera carries it along.

    The place is looked up in the nearest earlier and later frame in which it lies outside the box; where both
    are to be had, pixels count as known only if they agree. None if neither is within a straight piece of
    footage.
    """
    sides = [_beside(footage, index, box, direction) for direction in (-1, 1)]
    colours = [side.astype(np.float32) for side in sides if side is not None]
    if not colours:
        return None
    spread_of = np.abs(colours[0] - colours[-1]).max(axis=2)
    return Plate((colours[0] + colours[-1]) / 2, spread_of <= settings.tolerance)


def _beside(footage: Footage, index: int, box: Box, direction: int) -> UInt8[np.ndarray, "h w 3"] | None:
    """The box's place in the world, in the nearest frame of one direction of time without the box there."""
    num_frames, height, width = footage.frames.shape[:3]
    camera, there = footage.camera, index
    dy = dx = 0
    for _ in range(4 * max(box.height, box.width)):
        step = there + max(direction, 0)
        there += direction
        if not 0 <= there < num_frames or camera.is_cut[step] or not camera.shift[step].any():
            return None
        dy, dx = dy + direction * int(camera.shift[step, 0]), dx + direction * int(camera.shift[step, 1])
        if abs(dy) >= box.height or abs(dx) >= box.width:
            y, x = box.y - dy, box.x - dx
            is_inside = 0 <= y <= height - box.height and 0 <= x <= width - box.width
            return footage.frames[there][y : y + box.height, x : x + box.width] if is_inside else None
    return None
