"""The bank: what the player looks like, as patches of colour and opacity, each with a facing.

Patches are cut from the home box while the camera scrolls; the way it goes is the way the player faces. What
equals the background plate is not the player. k-means sorts the patches of a facing into poses, and for every
pose a regression of patch on plate tells colour and opacity of each pixel: where the plate shines through
fully the player is not. The bank also keeps from which score on the reader may believe a sighting.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64

from storage.atomic import replacing
from worldgen_core.errors import TrackingError
from worldgen_core.tracking.player_box import Box, Footage, find_plate, spread
from worldgen_core.tracking.settings import FACINGS, STEPS, Facing, TrackingSettings

_MARGIN = 2
"""Pixels cut around the box; what stays transparent is trimmed off again."""
_MIN_EXAMPLES = 8
_MIN_BODY_SHARE = 0.6
"""Examples with less of the player than this share of the median are hidden by something."""
_MAX_OFF_CENTRE = 1.25
"""Pixels by which an example's centre may miss the median one."""
_MAX_STRANGE_SHARE = 0.25
_STRANGE = 48.0
"""Grey levels from the pose's median at which a pixel of an example is something else."""
_RIDGE = 25.0
"""Variance of the plate's colour, in grey levels squared, below which the share of examples decides."""
_OPAQUE, _CLEAR = 0.8, 0.2


@dataclass(frozen=True, slots=True)
class SpriteBank:
    """Poses of the player; all patches have the size of the home box."""

    colour: Float32[np.ndarray, "n h w 3"]
    """Grey levels 0 to 255, not multiplied by opacity."""
    opacity: Float32[np.ndarray, "n h w"]
    """1 where only the player is to be seen, 0 where only what is behind."""
    facing: Int64[np.ndarray, " n"]
    """Index into FACINGS."""
    num_examples: Int64[np.ndarray, " n"]
    """How many patches each pose was averaged from."""
    home: Int64[np.ndarray, " 2"]
    """(y, x) of the box's upper left corner while the camera scrolls."""
    min_score: Float32[np.ndarray, " 2"]
    """Scores from which a sighting counts: anywhere in the frame, and near where the player was before."""

    @property
    def box(self) -> Box:
        """The home box."""
        return Box(int(self.home[0]), int(self.home[1]), *self.opacity.shape[1:])

    def facing_of(self, pose: int) -> Facing:
        """Which way a pose looks."""
        return FACINGS[self.facing[pose]]


class Examples(NamedTuple):
    """Patches of one facing with what is behind them."""

    patch: Float32[np.ndarray, "n h w 3"]
    plate: Float32[np.ndarray, "n h w 3"]
    is_known: Bool[np.ndarray, "n h w"]
    """Where the plate is known."""
    is_body: Bool[np.ndarray, "n h w"]
    """Where patch and plate differ."""

    def take(self, chosen: np.ndarray) -> Examples:
        """Some of the examples."""
        return Examples(*(array[chosen] for array in self))


class Pose(NamedTuple):
    """One patch of the bank to be."""

    colour: Float32[np.ndarray, "h w 3"]
    opacity: Float32[np.ndarray, "h w"]
    num_examples: int


def build_poses(footages: list[Footage], box: Box, settings: TrackingSettings) -> SpriteBank:
    """The bank without its scores, which the reader calibrates.

    Raises: TrackingError if a facing has too few examples.
    """
    height, width = footages[0].frames.shape[1:3]
    wide = _grown(box, _MARGIN, height, width)
    poses: list[Pose] = []
    facings: list[int] = []
    for index, facing in enumerate(FACINGS):
        examples = cut_examples(footages, wide, facing, settings)
        found = _poses(examples, settings)
        if not found:
            raise TrackingError(
                f"the player's looks: too few examples facing {facing}",
                expected=f"{_MIN_EXAMPLES} walks longer than the player with the camera following",
                found=f"{len(examples.patch)} usable frames",
                next_step="give more footage with longer walks in this direction",
            )
        poses += found
        facings += [index] * len(found)
    return _trimmed(poses, facings, wide)


def cut_examples(footages: list[Footage], box: Box, facing: Facing, settings: TrackingSettings) -> Examples:
    """Patches from frames in which the camera goes one way and the plate behind the box is known."""
    rows: list[tuple[np.ndarray, ...]] = []
    for footage, index in spread(footages, settings.max_examples, STEPS[facing]):
        plate = find_plate(footage, index, box, settings)
        if plate is None:
            continue
        patch = footage.frames[index][box.slices].astype(np.float32)
        is_body = (np.abs(patch - plate.colour).max(axis=2) > settings.tolerance) & plate.is_known
        rows.append((patch, plate.colour, plate.is_known, is_body))
    if not rows:
        empty = np.zeros((0, box.height, box.width), np.bool_)
        blank = np.zeros((0, box.height, box.width, 3), np.float32)
        return Examples(blank, blank, empty, empty)
    return Examples(*(np.stack(column) for column in zip(*rows, strict=True)))


def _grown(box: Box, margin: int, height: int, width: int) -> Box:
    y, x = max(box.y - margin, 0), max(box.x - margin, 0)
    bottom, right = min(box.y + box.height + margin, height), min(box.x + box.width + margin, width)
    return Box(y, x, bottom - y, right - x)


# Poses


def _poses(examples: Examples, settings: TrackingSettings) -> list[Pose]:
    """k-means over the patches with everything but the player greyed out, then one pose a cluster."""
    examples = examples.take(_is_whole(examples))
    num_examples = len(examples.patch)
    if num_examples < _MIN_EXAMPLES:
        return []
    usual = examples.is_body.mean(axis=0) > 0.5
    features = ((examples.patch - 128) * usual[None, ..., None]).reshape(num_examples, -1)
    num_clusters = min(settings.patches_per_facing, num_examples // _MIN_EXAMPLES)
    cv2.setRNGSeed(settings.seed)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-3)
    _, labels, _ = cv2.kmeans(
        features, num_clusters, np.empty(0, np.int32), criteria, 4, cv2.KMEANS_PP_CENTERS
    )
    clusters = [examples.take(labels.ravel() == cluster) for cluster in range(num_clusters)]
    poses = [pose for cluster in clusters if (pose := _pose(cluster)) is not None]
    return sorted(poses, key=lambda pose: -pose.num_examples)


def _is_whole(examples: Examples) -> Bool[np.ndarray, " n"]:
    """Which examples show the whole player, and where the others do.

    At a map's edge the camera may follow along one axis only, with the player beside its home box.
    """
    size = examples.is_body.sum(axis=(1, 2))
    if not size.any():
        return size > 0
    is_big = size >= _MIN_BODY_SHARE * np.median(size[size > 0])
    centres = np.stack(
        [
            (examples.is_body * axis).sum(axis=(1, 2)) / np.maximum(size, 1)
            for axis in np.indices(examples.is_body.shape[1:])
        ],
        axis=1,
    )
    off = np.abs(centres - np.median(centres[is_big], axis=0)).max(axis=1)
    return is_big & (off <= _MAX_OFF_CENTRE)


def _pose(examples: Examples) -> Pose | None:
    """Colour and opacity of one pose; examples with strange pixels (something in front) are left out."""
    if len(examples.patch) < _MIN_EXAMPLES:
        return None
    usual = examples.is_body.mean(axis=0) > 0.5
    centre = np.median(examples.patch, axis=0)
    is_strange = np.abs(examples.patch - centre).max(axis=3) > _STRANGE
    strange_share = (is_strange & usual).sum(axis=(1, 2)) / max(int(usual.sum()), 1)
    good = examples.take(strange_share <= _MAX_STRANGE_SHARE)
    if len(good.patch) < _MIN_EXAMPLES:
        return None
    return Pose(*_matte(good), len(good.patch))


def _matte(examples: Examples) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]:
    """Solve patch = opacity * colour + (1 - opacity) * plate for each pixel by least squares."""
    weight = examples.is_known[..., None].astype(np.float32)
    count = np.maximum(weight.sum(axis=0), 1e-6)
    patch_mean = (examples.patch * weight).sum(axis=0) / count
    plate_mean = (examples.plate * weight).sum(axis=0) / count
    patch, plate = (examples.patch - patch_mean) * weight, (examples.plate - plate_mean) * weight
    prior = 1 - examples.is_body.sum(axis=0) / count[..., 0]
    ridge = _RIDGE * count[..., 0]
    slope = ((patch * plate).sum(axis=(0, 3)) + ridge * prior) / ((plate**2).sum(axis=(0, 3)) + ridge)
    opacity = np.clip(1 - slope, 0, 1)
    opacity[opacity > _OPAQUE] = 1
    opacity[opacity < _CLEAR] = 0
    see_through = (1 - opacity)[..., None]
    colour = (patch_mean - see_through * plate_mean) / np.maximum(opacity, _CLEAR)[..., None]
    return np.clip(colour, 0, 255).astype(np.float32), opacity.astype(np.float32)


def _trimmed(poses: list[Pose], facings: list[int], wide: Box) -> SpriteBank:
    """Cut away rows and columns in which no pose has anything solid."""
    colour, opacity, num_examples = (np.stack(column) for column in zip(*poses, strict=True))
    solid = (opacity > 0.5).mean(axis=0)
    rows, columns = (np.flatnonzero(solid.max(axis=axis) > 0.2) for axis in (1, 0))
    y, x = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return SpriteBank(
        colour=colour[:, y, x],
        opacity=opacity[:, y, x],
        facing=np.array(facings, np.int64),
        num_examples=num_examples.astype(np.int64),
        home=np.array([wide.y + rows[0], wide.x + columns[0]], np.int64),
        min_score=np.array([0.6, 0.5], np.float32),
    )


# On disk


def save_bank(path: Path, bank: SpriteBank) -> None:
    """Write a bank as NPZ, nothing pickled; the same bank gives the same bytes."""
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, **{f.name: getattr(bank, f.name) for f in fields(bank)})


def load_bank(path: Path) -> SpriteBank:
    """Read a bank.

    Raises: TrackingError if the file is missing, damaged or something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return SpriteBank(**{field.name: arrays[field.name] for field in fields(SpriteBank)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TrackingError(
            f"{path}: bank of sprites",
            expected="an NPZ file that save_bank wrote",
            found=f"{type(error).__name__}: {error}",
            next_step="delete the file and learn the bank again from footage",
        ) from error
