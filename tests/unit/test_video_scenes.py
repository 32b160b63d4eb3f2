"""Duplicates, frozen and black stretches, cuts against doors, flashes and scrolling; crop boxes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from worldgen_core.errors import ConfigError
from worldgen_core.video.letterbox import crop_box, sample_indices
from worldgen_core.video.records import Box, Picture, Stretch
from worldgen_core.video.scene_settings import LetterboxSettings, SceneSettings
from worldgen_core.video.scenes import runs, scan

SETTINGS = SceneSettings(frozen_frames=20, frozen_frames_unlabelled=50)
HEIGHT, WIDTH = 90, 160


def scene(seed: int, num_frames: int, speed: int = 2) -> np.ndarray:
    """A tile map that scrolls sideways (n, h, w)."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(40, 230, (HEIGHT // 10, 60), dtype=np.uint8)
    world = tiles.repeat(10, 0).repeat(10, 1)
    return np.stack([np.roll(world, -speed * i, axis=1)[:, :WIDTH] for i in range(num_frames)])


def scanned(frames: np.ndarray, active=None, settings=SETTINGS):
    pictures = (Picture(frame[:, :, None], index) for index, frame in enumerate(frames))
    return scan(pictures, len(frames), settings, active=active)


def of_kind(scenes, kind: str) -> list[tuple[int, int]]:
    return [(stretch.first, stretch.last) for stretch in scenes.stretches if stretch.kind == kind]


def test_scrolling_has_motion_and_nothing_else():
    scenes = scanned(scene(0, 60))
    assert scenes.stretches == ()
    assert scenes.motion.dtype == np.float32
    assert scenes.motion[0] == 0
    assert (scenes.motion[1:] > 2).all()


def test_duplicates_within_the_noise_of_a_codec():
    frames = scene(1, 40).astype(int)
    frames[10:16] = frames[10]
    noise = np.random.default_rng(0).integers(-1, 2, frames.shape)
    scenes = scanned(
        np.clip(frames + noise // 2, 0, 255).astype(np.uint8),
        settings=SETTINGS.model_copy(update={"duplicate_mean": 1.0}),
    )
    assert of_kind(scenes, "duplicate") == [(11, 15)]
    assert not scenes.is_duplicate[10]


def test_a_small_sprite_that_moves_is_no_duplicate():
    frames = scene(1, 12, speed=0)
    frames[6:, 40:44, 60:64] = 255
    assert of_kind(scanned(frames), "duplicate") == [(1, 5), (7, 11)]


def test_standing_still_is_frozen_only_with_held_keys():
    frames = np.concatenate([scene(2, 10), scene(2, 10)[-1:].repeat(40, 0), scene(2, 10)[::-1]])
    active = np.zeros(len(frames), dtype=bool)
    assert of_kind(scanned(frames), "frozen") == []
    assert of_kind(scanned(frames, active), "duplicate") == [(10, 50)]
    active[15:40] = True
    scenes = scanned(frames, active)
    assert of_kind(scenes, "frozen") == [(15, 50)]
    assert of_kind(scenes, "duplicate") == [(10, 14)]
    long = scene(2, 1).repeat(70, 0)
    assert of_kind(scanned(long), "frozen") == [(1, 69)]


@pytest.mark.parametrize("speed", [0, 2, 8])
def test_a_cut_is_found_at_its_frame(speed):
    frames = np.concatenate([scene(3, 40, speed), scene(4, 40, speed)])
    assert of_kind(scanned(frames), "cut") == [(40, 40)]


def test_a_fade_through_black_is_a_door():
    before, after = scene(5, 40).astype(float), scene(6, 40).astype(float)
    fade = np.linspace(1, 0, 10)
    frames = np.concatenate(
        [
            before,
            before[-1] * fade[:, None, None],
            np.zeros((4, HEIGHT, WIDTH)),
            after[0] * fade[::-1, None, None],
            after,
        ]
    ).astype(np.uint8)
    scenes = scanned(frames)
    assert of_kind(scenes, "cut") == []
    ((first, last),) = of_kind(scenes, "black")
    assert 47 <= first <= 50
    assert 53 <= last <= 56
    hard = np.concatenate([before, np.zeros((3, HEIGHT, WIDTH)), after]).astype(np.uint8)
    assert of_kind(scanned(hard), "cut") == []
    assert of_kind(scanned(hard), "black") == [(40, 42)]


def test_flashes_and_dialogs_are_no_cuts():
    frames = scene(7, 80)
    flashed = frames.copy()
    flashed[30:32] = 255
    assert of_kind(scanned(flashed), "cut") == []
    dialog = frames.copy()
    dialog[30:60, 60:, 8:-8] = 250
    assert of_kind(scanned(dialog), "cut") == []


def test_fast_play_is_not_one_cut_after_the_other():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (40, 9, 16), dtype=np.uint8).repeat(10, 1).repeat(10, 2)
    assert of_kind(scanned(frames), "cut") == []


def test_lost_frames_leave_gaps():
    frames = scene(8, 30)
    pictures = (Picture(frames[i][:, :, None], i) for i in range(30) if i not in (10, 11))
    scenes = scan(pictures, 30, SETTINGS)
    assert scenes.motion.size == 30
    assert scenes.motion[10] == scenes.motion[11] == 0
    assert scenes.stretches == ()


def test_runs():
    assert runs(np.array([True, True, False, True])) == [(0, 1), (3, 3)]
    assert runs(np.zeros(0, dtype=bool)) == []
    assert Stretch("black", 3, 5).num_frames == 3


# Crop boxes


def with_bars(top: int, bottom: int, left: int, right: int) -> list[np.ndarray]:
    """Pictures of 120x200 whose middle moves; the bars have the noise of a codec."""
    rng = np.random.default_rng(0)
    frames = []
    for index in range(6):
        frame = rng.integers(0, 12, (120, 200, 3), dtype=np.uint8)
        inner = cv2.resize(scene(9, 8)[index], (200 - left - right, 120 - top - bottom))
        frame[top : 120 - bottom, left : 200 - right] = inner[:, :, None]
        frames.append(frame)
    return frames


@pytest.mark.parametrize(
    ("bars", "box"),
    [
        ((16, 16, 0, 0), Box(0, 16, 200, 88)),
        ((0, 0, 25, 30), Box(26, 0, 144, 120)),
        ((11, 7, 9, 13), Box(10, 12, 176, 100)),
        ((0, 0, 0, 0), None),
        ((2, 1, 3, 0), None),
    ],
)
def test_bars_are_found_and_coordinates_even(bars, box):
    assert crop_box(with_bars(*bars), 200, 120, LetterboxSettings()) == box


def test_dark_scenes_are_no_bars():
    dark = [np.zeros((120, 200, 3), np.uint8) for _ in range(4)]
    assert crop_box(dark, 200, 120, LetterboxSettings()) is None
    dark[2][50:60, 90:100] = 200
    assert crop_box(dark, 200, 120, LetterboxSettings()) is None
    # One frame with the whole picture is enough.
    assert crop_box([*with_bars(20, 20, 0, 0), *with_bars(0, 0, 0, 0)], 200, 120, LetterboxSettings()) is None


def test_fixed_box():
    settings = LetterboxSettings(mode="fixed", box=(13, 7, 101, 51))
    assert crop_box([], 200, 120, settings) == Box(13, 7, 101, 51)
    assert crop_box([], 200, 120, LetterboxSettings(mode="off")) is None
    with pytest.raises(ConfigError, match="inside 100x50"):
        crop_box([], 100, 50, settings)
    with pytest.raises(ConfigError, match="found none"):
        crop_box([], 100, 50, LetterboxSettings(mode="fixed"))


def test_samples_are_spread():
    indices = sample_indices(1000, LetterboxSettings(num_samples=4))
    assert indices.tolist() == [125, 375, 625, 875]
    assert sample_indices(3, LetterboxSettings()).tolist() == [0, 1, 2]
