"""A small drawn world to try tracking on: patterned map, two-coloured walker, camera that stops at edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldgen_core.tracking.settings import FACINGS, STEPS, TrackingSettings

TILE, SPEED = 8, 2
VIEW = (64, 80)
MAP_TILES = (20, 26)
SPRITE = (10, 8)
RISE = SPRITE[0] - TILE
"""Rows by which the walker is taller than a tile."""
ACTION_NAMES = ("none", "up", "down", "left", "right")
SETTINGS = TrackingSettings(
    scrolls=True, tile_px=TILE, movement={name: name for name in FACINGS}, max_player_px=20
)


def sprite(facing: int, phase: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Colours and mask: a red body with rounded corners, a white face where it looks to, moving feet."""
    colour = np.full((*SPRITE, 3), (200, 30, 40), np.uint8)
    mask = np.ones(SPRITE, np.bool_)
    mask[0, [0, -1]] = mask[1, 0] = mask[1, -1] = False
    mask[-1, :] = False
    mask[-1, [1, 2] if phase else [5, 6]] = True
    face = {0: None, 1: np.s_[2:6, 2:6], 2: np.s_[2:6, 0:3], 3: np.s_[2:6, 5:8]}[facing]
    if face is not None:
        colour[face] = (250, 240, 220)
    return colour, mask


def draw_map(seed: int = 0) -> np.ndarray:
    """A map of eight kinds of patterned tiles, green and brown."""
    rng = np.random.default_rng(seed)
    tiles = (
        rng.integers(0, 60, (8, TILE, TILE, 1)) + np.array([40, 90, 50]) + rng.integers(0, 60, (8, 1, 1, 3))
    )
    kinds = rng.integers(0, 8, MAP_TILES)
    return tiles[kinds].transpose(0, 2, 1, 3, 4).reshape(MAP_TILES[0] * TILE, -1, 3).astype(np.uint8)


@dataclass
class Walk:
    """Frames with the truth about them; `place` is the sprite's upper left corner (y, x) on the screen."""

    frames: np.ndarray
    actions: np.ndarray
    place: np.ndarray
    camera: np.ndarray
    facing: np.ndarray


@dataclass
class Walker:
    """Somebody on a map; a step runs on to the tile's edge, the map's edge blocks the way."""

    ground: np.ndarray
    at: np.ndarray
    """The tile's upper left corner (y, x) on the map."""
    facing: int = 1
    offset: int = 0
    """Pixels that are left of the step."""
    speed: int = SPEED

    def step(self, action: int) -> None:
        if not self.offset and action:
            self.facing = action - 1
            goal = self.at + np.array(STEPS[FACINGS[self.facing]]) * TILE
            is_free = (goal >= 0).all() and (goal <= np.array(self.ground.shape[:2]) - TILE).all()
            self.offset = TILE if is_free else 0
        length = min(self.speed, self.offset)
        self.at = self.at + np.array(STEPS[FACINGS[self.facing]]) * length
        self.offset -= length

    def draw(self, phase: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frame, the sprite's place (y, x) on the screen, and the camera's (y, x) on the map."""
        return _draw(self.ground, self.at, self.facing, phase if self.offset else 0)


def take_walk(script: list[tuple[int, int]], seed: int = 0, start: tuple[int, int] = (10, 13)) -> Walk:
    """Play a script of (action, frames)."""
    walker = Walker(draw_map(seed), np.array(start) * TILE)
    actions = np.concatenate([np.full(count, action) for action, count in script])
    rows = []
    for index, action in enumerate(actions.tolist()):
        rows.append((*walker.draw((index // 2) % 2), walker.facing))
        walker.step(action)
    frames, place, camera, facings = zip(*rows, strict=True)
    return Walk(np.stack(frames), actions, np.stack(place), np.stack(camera), np.array(facings))


def _draw(
    ground: np.ndarray, at: np.ndarray, facing: int, phase: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size, view = np.array(ground.shape[:2]), np.array(VIEW)
    camera = np.clip(at - view // 2 + TILE // 2, 0, size - view)
    frame = ground[camera[0] : camera[0] + view[0], camera[1] : camera[1] + view[1]].copy()
    place = at - camera - (RISE, 0)
    paint(frame, place, facing, phase)
    return frame, place, camera


def paint(frame: np.ndarray, place: np.ndarray, facing: int, phase: int = 0) -> None:
    """Draw the walker, clipped at the frame's edge."""
    colour, mask = sprite(facing, phase)
    rows, columns = np.nonzero(mask)
    ys, xs = rows + place[0], columns + place[1]
    inside = (ys >= 0) & (ys < frame.shape[0]) & (xs >= 0) & (xs < frame.shape[1])
    frame[ys[inside], xs[inside]] = colour[rows[inside], columns[inside]]


def long_script(num_walks: int, seed: int = 0) -> list[tuple[int, int]]:
    """Walks of two to seven tiles with rests between them, to and fro so that they stay on the map mostly."""
    rng = np.random.default_rng(seed)
    script: list[tuple[int, int]] = [(0, 3)]
    for _ in range(num_walks):
        script += [(int(rng.integers(1, 5)), 4 * int(rng.integers(2, 8))), (0, int(rng.integers(3, 7)))]
    return script
