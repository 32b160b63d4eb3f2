"""Draws Flappy Bird at a quarter of its native size, byte for byte what the environment's picture shrinks to.

The environment redraws 512 by 288 pixels for every frame (2 to 3 ms). Here the still parts are shrunk once:
the background under each phase of the scrolling ground, and every pipe at every place. Only the bird's
neighbourhood is drawn natively and shrunk (a box filter does not see beyond its cell, and the ground starts
on a cell's edge), which is forty times faster. tests/unit/test_games_flappy.py compares whole games with
the environment's own picture.
"""

from __future__ import annotations

import os
import warnings
from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "hide")
with warnings.catch_warnings():
    # pygame 2.6.1 asks for its resources through pkg_resources, which setuptools deprecates.
    warnings.filterwarnings("ignore", message=".*pkg_resources", category=UserWarning)
    warnings.filterwarnings("ignore", message=".*pkg_resources", category=DeprecationWarning)
    import pygame
    from flappy_bird_gymnasium.envs import utils

NATIVE_HEIGHT, NATIVE_WIDTH, SCALE = 512, 288, 4
HEIGHT, WIDTH = NATIVE_HEIGHT // SCALE, NATIVE_WIDTH // SCALE
PIPE_WIDTH, PIPE_HEIGHT = 52, 320
BIRD_X, BIRD_WIDTH, BIRD_HEIGHT = 57, 34, 24
GROUND_TOP = 404
MAX_VISIBLE_ROTATION = 20
BIRD_COLUMNS = slice(BIRD_X // SCALE, BIRD_X // SCALE + 11)
"""Columns of the frame that the bird can touch in any rotation."""
_PATCH_LEFT, _PATCH_RIGHT = BIRD_COLUMNS.start * SCALE, BIRD_COLUMNS.stop * SCALE


class Sprite(NamedTuple):
    """Colours, and where they cover what lies below."""

    pixels: UInt8[np.ndarray, "h w 3"]
    is_opaque: Bool[np.ndarray, "h w"]


class PipePair(NamedTuple):
    """A pair of pipes: left edge, and top and bottom of the hole between them, in native pixels."""

    x: int
    gap_top: int
    gap_bottom: int


class Scene(NamedTuple):
    """All that a frame depends on; whole native pixels, as the game's blits truncate them."""

    ground_x: int
    pipes: tuple[PipePair, ...]
    bird_y: int
    bird_wing: int
    bird_rotation: int


def _sprite(surface: pygame.Surface) -> Sprite:
    canvas = pygame.Surface(surface.get_size(), pygame.SRCALPHA, 32)
    canvas.blit(surface, (0, 0))
    pixels = pygame.surfarray.array3d(canvas).transpose(1, 0, 2)
    return Sprite(np.ascontiguousarray(pixels), pygame.surfarray.array_alpha(canvas).T > 0)


@cache
def _images() -> dict[str, tuple[pygame.Surface, ...]]:
    images = utils.load_images(convert=False)
    return {name: image if isinstance(image, tuple) else (image,) for name, image in images.items()}


@cache
def _pipe_sprites() -> tuple[Sprite, Sprite]:
    upper, lower = _images()["pipe"]
    return _sprite(upper), _sprite(lower)


@cache
def bird_sprite(wing: int, visible_rotation: int) -> Sprite:
    """The bird as the game draws it, rotated; its top left corner lies on the bird's position."""
    return _sprite(pygame.transform.rotate(_images()["player"][wing], visible_rotation))


def shrink(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Box filter by four in both directions."""
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (width // SCALE, height // SCALE), interpolation=cv2.INTER_AREA)


def _paste(canvas: UInt8[np.ndarray, "H W 3"], sprite: Sprite, left: int, top: int) -> None:
    """Draw a sprite on a canvas, cut off at the canvas's borders."""
    height, width = canvas.shape[:2]
    x0, x1 = max(left, 0), min(left + sprite.pixels.shape[1], width)
    y0, y1 = max(top, 0), min(top + sprite.pixels.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    target = canvas[y0:y1, x0:x1]
    np.copyto(target, sprite.pixels[inside], where=sprite.is_opaque[inside][..., None])


def _paste_pipes(canvas: UInt8[np.ndarray, "H W 3"], pipe: PipePair, *, left: int = 0, top: int = 0) -> None:
    upper, lower = _pipe_sprites()
    _paste(canvas, upper, pipe.x - left, pipe.gap_top - PIPE_HEIGHT - top)
    _paste(canvas, lower, pipe.x - left, pipe.gap_bottom - top)


@cache
def _native_backdrop(ground_x: int) -> UInt8[np.ndarray, "H W 3"]:
    canvas = _sprite(_images()["background"][0]).pixels.copy()
    _paste(canvas, _sprite(_images()["base"][0]), ground_x, GROUND_TOP)
    return canvas


@cache
def backdrop(ground_x: int) -> UInt8[np.ndarray, "h w 3"]:
    """Background and ground without pipes or bird, at the recorded size; read-only."""
    small = shrink(_native_backdrop(ground_x))
    small.setflags(write=False)
    return small


@lru_cache(maxsize=4096)
def _pipe_patch(pipe: PipePair) -> tuple[slice, UInt8[np.ndarray, "h w 3"]]:
    """The columns that a pair of pipes touches, shrunk, down to the ground's edge."""
    left = max(pipe.x, 0) // SCALE * SCALE
    right = min(-(-(pipe.x + PIPE_WIDTH) // SCALE) * SCALE, NATIVE_WIDTH)
    canvas = _native_backdrop(0)[:GROUND_TOP, left:right].copy()
    _paste_pipes(canvas, pipe, left=left)
    return slice(left // SCALE, right // SCALE), shrink(canvas)


def _bird_patch(scene: Scene, sprite: Sprite, top: int, bottom: int) -> UInt8[np.ndarray, "h w 3"]:
    canvas = _native_backdrop(scene.ground_x)[top:bottom, _PATCH_LEFT:_PATCH_RIGHT].copy()
    above_ground = canvas[: max(GROUND_TOP - top, 0)]
    for pipe in scene.pipes:
        if pipe.x < _PATCH_RIGHT and pipe.x + PIPE_WIDTH > _PATCH_LEFT:
            _paste_pipes(above_ground, pipe, left=_PATCH_LEFT, top=top)
    _paste(canvas, sprite, BIRD_X - _PATCH_LEFT, scene.bird_y - top)
    return shrink(canvas)


def render_without_bird(ground_x: int, pipes: tuple[PipePair, ...]) -> UInt8[np.ndarray, "h w 3"]:
    """Draw background, pipes and ground at the recorded size."""
    frame = backdrop(ground_x).copy()
    for pipe in pipes:
        if -PIPE_WIDTH < pipe.x < NATIVE_WIDTH:
            columns, patch = _pipe_patch(pipe)
            frame[: GROUND_TOP // SCALE, columns] = patch
    return frame


def render(scene: Scene) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a scene at the recorded size, 128 rows of 72 pixels."""
    frame = render_without_bird(scene.ground_x, scene.pipes)
    sprite = bird_sprite(scene.bird_wing, min(scene.bird_rotation, MAX_VISIBLE_ROTATION))
    top = max(scene.bird_y, 0) // SCALE * SCALE
    bottom = min(-(-(scene.bird_y + sprite.pixels.shape[0]) // SCALE) * SCALE, NATIVE_HEIGHT)
    if bottom > top:
        frame[top // SCALE : bottom // SCALE, BIRD_COLUMNS] = _bird_patch(scene, sprite, top, bottom)
    return frame
