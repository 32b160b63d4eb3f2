"""Camera, box, bank and reader, against a drawn world whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.tracking_world import (
    ACTION_NAMES,
    SETTINGS,
    SPEED,
    SPRITE,
    Walk,
    draw_map,
    long_script,
    paint,
    take_walk,
)
from worldgen_core.errors import TrackingError
from worldgen_core.tracking.camera import CameraTrack, candidate_shifts, track_camera
from worldgen_core.tracking.layers import erase_player, paint_player
from worldgen_core.tracking.learning import learn_bank
from worldgen_core.tracking.motion import find_fades, world_motion
from worldgen_core.tracking.player_box import Footage, find_player_box
from worldgen_core.tracking.quality import measure_track
from worldgen_core.tracking.reader import SpriteReader
from worldgen_core.tracking.settings import FACINGS, TrackingSettings
from worldgen_core.tracking.sprites import load_bank, save_bank
from worldgen_core.tracking.track import track_player


@pytest.fixture(scope="module")
def walk() -> Walk:
    return take_walk(long_script(22))


@pytest.fixture(scope="module")
def camera(walk) -> CameraTrack:
    return track_camera(walk.frames, SETTINGS)


@pytest.fixture(scope="module")
def reader(walk, camera) -> SpriteReader:
    return SpriteReader(learn_bank([walk.frames], SETTINGS, [camera]), SETTINGS)


@pytest.fixture(scope="module")
def other() -> Walk:
    """Another map and other walks, for measuring."""
    return take_walk(long_script(8, seed=5), seed=3)


def corner(reader: SpriteReader, walk: Walk) -> np.ndarray:
    """Where the bank's box lies relative to the true sprite (the box may be trimmed)."""
    is_home = (walk.place == np.median(walk.place, axis=0)).all(axis=1)
    return reader.bank.home - walk.place[is_home][0]


# Camera


def test_camera_shifts_are_the_true_ones(walk, camera):
    assert not camera.is_cut.any()
    np.testing.assert_array_equal(camera.position, walk.camera - walk.camera[0])


def test_no_shifts_are_tried_where_the_game_does_not_scroll(walk):
    assert candidate_shifts(TrackingSettings()) == [(0, 0)]
    assert not track_camera(walk.frames[:20], TrackingSettings()).shift.any()


def test_diagonal_shifts_are_a_setting():
    ground = draw_map()
    frames = np.stack([ground[2 * t : 2 * t + 64, 3 * t : 3 * t + 80] for t in range(5)])
    settings = SETTINGS.model_copy(update={"is_diagonal": True})
    assert track_camera(frames, settings).shift[1:].tolist() == [[2, 3]] * 4


def test_a_walker_does_not_move_a_resting_camera():
    ground = draw_map()[:64, :80]
    frames = np.stack([ground] * 12)
    for index, frame in enumerate(frames):
        paint(frame, np.array([30, 10 + 2 * index]), 3)
        paint(frame, np.array([40, 10 + 2 * index]), 3)
    assert not track_camera(frames, SETTINGS).shift.any()


def test_a_door_is_a_fade_through_black(walk, other):
    dark = [
        (frame * share).astype(np.uint8)
        for frame, share in zip(walk.frames[:4], (0.6, 0.2, 0, 0), strict=True)
    ]
    frames = np.concatenate([walk.frames[:10], dark, other.frames[:10]])
    camera = track_camera(frames, SETTINGS)
    fades = find_fades(camera)
    assert [fade.is_through_black for fade in fades] == [True]
    assert 10 <= fades[0].start <= 11
    assert fades[0].stop == 15
    assert not camera.shift[fades[0].start : fades[0].stop].any()


# Box and bank


def test_the_home_box_is_where_the_walker_stands_while_the_world_goes_by(walk, camera):
    box = find_player_box([Footage(walk.frames, camera)], SETTINGS)
    y, x = np.median(walk.place, axis=0)
    assert abs(box.y - y) <= 1
    assert abs(box.x - x) <= 1
    assert abs(box.height - SPRITE[0]) <= 2
    assert abs(box.width - SPRITE[1]) <= 2


def test_footage_without_scrolling_is_a_clear_error(walk):
    with pytest.raises(TrackingError, match=r"camera hardly moves.*at least 40 frames"):
        learn_bank([np.repeat(walk.frames[:1], 60, axis=0)], SETTINGS)
    with pytest.raises(TrackingError, match=r"tracking\.scrolls is off"):
        learn_bank([walk.frames[:10]], TrackingSettings())


def test_a_camera_without_a_player_is_a_clear_error():
    ground = draw_map()
    frames = np.stack([ground[:64, t : t + 80] for t in range(0, 100, 2)] * 2)
    with pytest.raises(TrackingError, match="nothing stays in place"):
        learn_bank([frames], SETTINGS)


def test_the_bank_shows_all_facings_without_their_background(reader, walk):
    bank = reader.bank
    assert set(bank.facing.tolist()) == {0, 1, 2, 3}
    dy, dx = corner(reader, walk)
    for pose, facing in enumerate(bank.facing):
        is_up = FACINGS[facing] == "up"
        body = bank.colour[pose][bank.opacity[pose] > 0.9]
        assert (np.abs(body - (200, 30, 40)).max(axis=1) < 12).mean() > (0.95 if is_up else 0.6)
    corners = bank.opacity[:, max(-dy, 0), [max(-dx, 0), max(-dx, 0) + SPRITE[1] - 1]]
    assert corners.max() < 0.3


def test_a_bank_survives_the_disk_bit_by_bit_and_damage_is_a_clear_error(reader, tmp_path):
    path = tmp_path / "bank.npz"
    save_bank(path, reader.bank)
    again = load_bank(path)
    for name in type(again).__slots__:
        np.testing.assert_array_equal(getattr(again, name), getattr(reader.bank, name))
    first = path.read_bytes()
    save_bank(path, again)
    assert path.read_bytes() == first
    path.write_bytes(first[:-300])
    with pytest.raises(TrackingError, match="learn the bank again"):
        load_bank(path)


# Reader


def test_single_frames_of_another_map_are_read_exactly(reader, other, walk):
    offset = corner(reader, walk)
    chosen = np.arange(0, len(other.frames), 7)
    sightings = [reader.read(other.frames[index]) for index in chosen]
    assert np.mean([sighting.found for sighting in sightings]) > 0.97
    for index, sighting in zip(chosen, sightings, strict=True):
        if sighting.found:
            assert (sighting.y, sighting.x) == tuple(other.place[index] + offset)
            assert sighting.facing == FACINGS[other.facing[index]]


def test_blur_and_a_roof_over_the_legs_are_forgiven_near_a_known_place(reader, other, walk):
    offset = corner(reader, walk)
    for index in range(10, len(other.frames), 41):
        y, x = other.place[index] + offset
        blurred = cv2.GaussianBlur(other.frames[index], (0, 0), 0.7)
        sighting = reader.read(blurred)
        assert sighting.found
        assert max(abs(sighting.y - y), abs(sighting.x - x)) <= 1
        hidden = other.frames[index].copy()
        hidden[y + SPRITE[0] - 3 :, :] = (90, 90, 120)
        assert reader.read(hidden, (int(x), int(y))).found


def test_nobody_and_two_players_are_not_found(reader):
    ground = draw_map(7)[:64, :80].copy()
    assert not reader.read(ground).found
    assert not reader.read(ground, (30, 30)).found
    paint(ground, np.array([20, 12]), 1)
    assert reader.read(ground).found
    paint(ground, np.array([40, 60]), 1)
    assert not reader.read(ground).found
    near = reader.read(ground, (60, 38))
    assert near.found
    assert near.place is not None
    assert abs(near.place[0] - 60) <= 1


def test_the_box_may_reach_over_the_edge(reader, walk):
    ground = draw_map(7)[:64, :80].copy()
    paint(ground, np.array([-2, 40]), 1)
    sighting = reader.read(ground)
    assert sighting.found
    assert (sighting.y, sighting.x) == tuple(np.array([-2, 40]) + corner(reader, walk))


# Tracks


def test_a_track_moves_as_the_player_does_also_where_the_camera_stops(reader, other):
    camera = track_camera(other.frames, SETTINGS)
    track = track_player(other.frames, camera, reader)
    motion = world_motion(camera, track)
    truth = np.diff(other.place + other.camera, axis=0, prepend=(other.place + other.camera)[:1])
    assert track.found.mean() > 0.99
    np.testing.assert_array_equal(motion.motion[motion.is_known], truth[motion.is_known])
    assert (motion.is_moving & (camera.shift == 0).all(axis=1)).any()
    quality = measure_track(camera, track, other.actions, ACTION_NAMES, SETTINGS)
    assert quality.num_jumps == 0
    assert quality.speed_px == SPEED
    assert quality.steady_share == 1
    assert quality.bounded_share == 1
    assert quality.facing_share > 0.99


# Layers


def test_the_world_without_the_player_is_the_map(reader, other):
    camera = track_camera(other.frames, SETTINGS)
    erased, is_known = erase_player(
        other.frames, camera, track_player(other.frames, camera, reader), reader.bank
    )
    ground = draw_map(3)
    for index, (y, x) in enumerate(other.camera):
        bare = ground[y : y + erased.shape[1], x : x + erased.shape[2]]
        np.testing.assert_array_equal(erased[index][is_known[index]], bare[is_known[index]])
    assert is_known.mean() > 0.98


def test_a_painted_player_is_read_where_it_was_painted(reader):
    ground = draw_map(7)[:64, :80].copy()
    for pose in range(len(reader.bank.facing)):
        sighting = reader.read(paint_player(ground, reader.bank, pose, (-2, 20)))
        assert sighting.place == (-2, 20)
        assert sighting.facing == reader.bank.facing_of(pose)
