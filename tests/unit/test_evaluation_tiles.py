"""Figures about tile games against tracks that are written down, not tracked: each can be right and wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldgen_core.evaluation.criteria import judge
from worldgen_core.evaluation.moves_panel import ends_on_edge, exact_frames, held_way, moves_panel, stays
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.evaluation.tile_settings import STRETCH, TileLimits, TileSettings
from worldgen_core.evaluation.tracked import Tracked
from worldgen_core.evaluation.tries import Recording, Try, choose_tries, place_of, rest_starts
from worldgen_core.evaluation.walks_panel import Walk, is_in_place, walk_series, walk_starts, walks_panel
from worldgen_core.evaluation.ways import Way, find_ways, opposite
from worldgen_core.tracking.camera import CameraTrack
from worldgen_core.tracking.motion import world_motion
from worldgen_core.tracking.presses import find_presses
from worldgen_core.tracking.settings import FACINGS, Facing, TrackingSettings
from worldgen_core.tracking.track import PlayerTrack

NAMES = ("none", "up", "down", "left", "right")
TRACKING = TrackingSettings(scrolls=True, tile_px=8, movement={name: name for name in FACINGS})
KEYS: list[Facing | None] = [None, *FACINGS]
HOME = np.array([32, 56])
RIGHT, DOWN = 4, 2


def track(
    moves: list[tuple[int, int]],
    *,
    lost: tuple[int, ...] = (),
    cuts: tuple[int, ...] = (),
    facing: int = 3,
    scrolls: bool = True,
) -> Tracked:
    """The player moves by (dy, dx) into each frame after the first; the camera goes with it, or rests."""
    count = len(moves) + 1
    motion = np.array([(0, 0), *moves], np.int64)
    still = np.zeros_like(motion)
    shift, walked = (motion, still) if scrolls else (still, motion)
    found = np.ones(count, np.bool_)
    found[list(lost)] = False
    is_cut = np.zeros(count, np.bool_)
    is_cut[list(cuts)] = True
    camera = CameraTrack(shift, np.ones(count, np.float32), is_cut, np.zeros(count, np.bool_))
    place = HOME + np.cumsum(walked, axis=0)
    place[~found] = -1
    numbers = np.full(count, facing, np.int64)
    player = PlayerTrack(found, place, numbers, numbers, np.ones(count, np.float32))
    return Tracked(camera, player, world_motion(camera, player))


def steps(*lengths: int) -> list[tuple[int, int]]:
    """Motion to the right, frame by frame."""
    return [(0, length) for length in lengths]


# A held key


@pytest.mark.parametrize(
    ("seen", "way"),
    [
        (track(steps(0, 2, 2, 2)), "right_way"),
        (track(steps(0, 2, 2, 2), scrolls=False), "right_way"),
        (track([(0, 0), (2, 0), (2, 0)]), "wrong_way"),
        (track(steps(-2, -2, 2, 2, 2, 2)), "wrong_way"),
        (track(steps(0, 2, 0, 0)), None),
        (track(steps(0, 0, 0, 0), lost=(3, 4)), "held_lost"),
        (track(steps(0, 0, 2, 2, 2), cuts=(2,)), "held_lost"),
    ],
)
def test_the_way_of_a_held_key_is_where_the_player_is_half_a_tile_away_first(
    seen: Tracked, way: str | None
) -> None:
    found = held_way(seen, "right", 8)
    assert {name for name, is_so in found.items() if is_so} == ({way} if way else set())


def test_a_blocked_player_may_neither_move_nor_vanish() -> None:
    assert stays(track(steps(0, 0, 0)))
    assert stays(track(steps(0, 1, -1))), "the reader's doubt"
    assert not stays(track(steps(0, 2, -2)))
    assert not stays(track(steps(0, 0, 0), lost=(3,)))
    assert not stays(track(steps(0, 0, 0), cuts=(2,)))


@pytest.mark.parametrize(
    ("moves", "is_right"),
    [
        (steps(2, 2, 2, 2, 0, 0), True),
        (steps(2, 2, 2, 2, 2, 2, 2, 2, 0), True),
        (steps(2, 2, 2, 1, 0, 0), True),
        (steps(2, 2, 2, 0, 0), False),
        (steps(0, 0, 0, 0), False),
        (steps(2, 2, 2, 2), False),
        (steps(-2, -2, -2, -2, 0), False),
        ([*steps(2, 2, 2, 2), (8, 0), (0, 0)], False),
    ],
)
def test_a_tap_ends_at_rest_on_the_next_edge(moves: list[tuple[int, int]], is_right: bool) -> None:
    assert ends_on_edge(track(moves), "right", 8) is is_right


def test_exact_frames_move_by_the_games_pixels_and_less_only_at_a_walks_ends() -> None:
    assert exact_frames(track(steps(0, 1, 2, 2, 1, 0)), 2).tolist() == [True] * 4
    assert exact_frames(track(steps(2, 1, 2, 3)), 2).tolist() == [True, False, True, False]
    assert exact_frames(track(steps(0, 1, 0, 1, 0)), 2).tolist() == [False, False], "creeping"
    assert not len(exact_frames(track(steps(0, 0)), 2))


# What the recording shows


def recording_of(moves: list[tuple[int, int]], action: list[int], **changes: Any) -> Recording:
    seen, keys = track(moves, **changes), np.array(action, np.int64)
    ways = find_ways(seen, keys, KEYS, TRACKING)
    presses = tuple(find_presses(seen.world, keys, NAMES, TRACKING))
    return Recording(np.zeros((len(keys), 2, 2, 3), np.uint8), keys, seen, ways, presses)


@pytest.fixture
def walled() -> Recording:
    """Rests, walks two tiles to the right, runs against something, rests, is let go during a step down."""
    moves = steps(0, 0, 0, 0, *[2] * 8, *[0] * 5, *[0] * 5) + [(2, 0)] * 4 + steps(0, 0, 0, 0)
    action = [0] * 4 + [RIGHT] * 13 + [0] * 5 + [DOWN] * 3 + [0] * 6
    return recording_of(moves, action)


def test_ways_are_open_where_the_player_walked_and_blocked_where_a_key_was_held_in_vain(
    walled: Recording,
) -> None:
    row, column = (HOME // 8).tolist()
    right, left = Way(0, row, column, "right"), Way(0, row, column + 1, "left")
    assert {right, left} <= walled.ways.is_open
    wall = Way(0, row, column + 2, "right")
    assert walled.ways.is_blocked == {wall}
    assert Way(0, row, column + 2, "down") in walled.ways.is_open
    assert wall not in walled.ways.is_open
    assert [(held.first, held.stop) for held in walled.ways.held] == [(13, 18)]
    assert opposite("up") == "down"


def test_what_was_seen_open_and_blocked_is_neither() -> None:
    moves = steps(0, 0, 0, *[0] * 5, *[2] * 4, 0, 0, 0)
    ways = recording_of(moves, [0] * 3 + [RIGHT] * 9 + [0] * 4).ways
    assert not ways.is_blocked
    row, column = (HOME // 8).tolist()
    assert Way(0, row, column, "right") not in ways.is_open


def test_nothing_leads_across_a_cut() -> None:
    ways = recording_of(steps(0, 0, 0, 2, 2, 2, 2, 0, 0), [0] * 10, cuts=(5,)).ways
    assert not ways.is_open


def test_starts_are_rests_in_which_no_earlier_key_can_work_any_more(walled: Recording) -> None:
    assert rest_starts(walled, KEYS, 3) == [4, 22, len(walled.action) - 1]
    assert rest_starts(walled, KEYS, 8) == [22, len(walled.action) - 1], "room for the context"
    pressed = recording_of(steps(0, 0, 0, 0, 0), [0, 0, 0, RIGHT, RIGHT, RIGHT])
    assert rest_starts(pressed, KEYS, 3) == [3]


def test_tries_follow_the_recording_and_press_every_key_whose_way_is_known(walled: Recording) -> None:
    tries = choose_tries(
        [walled], TileSettings(hold_frames=6), facings=KEYS, step_frames=4, num_context_frames=3
    )
    made = {(own.kind, own.is_recorded, own.first, own.facing) for own in tries}
    assert made >= {
        ("held", True, 4, "right"),
        ("blocked", True, 13, "right"),
        ("tap", True, 22, "down"),
        ("held", False, 4, "right"),
        ("tap", False, 4, "right"),
        ("blocked", False, 22, "right"),
        ("held", False, 22, "left"),
        ("held", False, 22, "down"),
    }
    assert ("held", False, 4, "left") not in made, "nobody knows what is there"
    tap = next(own for own in tries if own.kind == "tap" and not own.is_recorded)
    assert tap.action.tolist()[:5] == [RIGHT, RIGHT, RIGHT, 0, 0]
    few = choose_tries(
        [walled], TileSettings(num_starts=1), facings=KEYS, step_frames=4, num_context_frames=3
    )
    assert {own.first for own in few if not own.is_recorded} == {4}
    assert place_of(walled, 0, 4, 16) == place_of(walled, 0, 22, 16)
    assert place_of(walled, 0, 4, 8) != place_of(walled, 0, 22, 8), "tiles 7 and 9"


def test_the_panel_counts_starts_and_places_and_reads_the_recording_with_the_same_measure(
    walled: Recording,
) -> None:
    tries = [
        Try("held", True, 0, 4, "right", walled.action[4:10]),
        Try("held", False, 0, 22, "left", np.full(6, 3, np.int64)),
        Try("blocked", True, 0, 13, "right", walled.action[13:17]),
    ]
    dreams = [track(steps(*[2] * 6)), track(steps(*[2] * 6)), track(steps(0, 2, 2, 2))]
    panel = moves_panel(tries, dreams, [walled], TileSettings(), TRACKING, facings=KEYS, speed_px=2)
    assert (panel["num_starts"], panel["num_places"]) == (3, 2)
    assert (panel["right_way_share"], panel["wrong_way_share"]) == (0.5, 0.5)
    assert (panel["recorded_right_way_share"], panel["reader_right_way_share"]) == (1, 1)
    assert (panel["blocked_stays_share"], panel["reader_blocked_stays_share"]) == (0, 1)
    assert panel["num_tap"] == 0
    assert "tap_on_edge_share" not in panel
    assert (panel["num_let_go_recorded"], panel["reader_tap_on_edge_share"]) == (1, 1)
    assert (panel["exact_motion_share"], panel["reader_exact_motion_share"]) == (1, 1)


# Walks


def test_a_place_on_the_screen_may_change_only_while_the_camera_rests() -> None:
    away = np.arange(8) * 4
    for scrolls, expected in ((False, [True] * 8), (True, [True] * 3 + [False] * 5)):
        seen = track(steps(*[0] * 7))
        seen.track.place[:, 1] += away
        if scrolls:
            seen.camera.shift[1:, 1] = -4
        in_place = is_in_place(seen, np.array([0, 0]), 8)
        assert in_place.tolist() == expected
    assert not is_in_place(track(steps(0, 0, 0), lost=(1, 2)), HOME, 8)[1:3].any()


def test_at_home_and_after_a_cut_the_player_belongs_where_it_is() -> None:
    seen = track(steps(*[0] * 7), cuts=(4,))
    seen.track.place[:, 1] += np.array([0, 40, 40, 40, 40, 40, 0, 0])
    seen.camera.shift[1, 1] = -4
    assert is_in_place(seen, HOME, 8).tolist() == [True, False, False, False, True, True, True, True]


def walk_of(seen: Tracked, real: Tracked, dream: np.ndarray, truth: np.ndarray) -> Walk:
    return Walk(0, 0, np.zeros(len(dream), np.int64), truth, dream, seen, real)


def test_walks_count_frames_in_which_the_reader_finds_the_player_in_the_recording() -> None:
    truth = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), dtype=np.uint8)
    dream = truth // 2
    seen = track(steps(*[0] * 8), lost=(2, 7), facing=3)
    real = track(steps(*[0] * 8), lost=(7,), facing=3)
    real.track.facing[8] = 0
    walks = [walk_of(seen, real, dream, truth)]
    panel = walks_panel(walks, home=HOME, tile_px=8, sharpness_frames=4)
    assert panel["num_frames_compared"] == 7
    assert panel["found_share"] == pytest.approx(6 / 7)
    assert panel["reader_found_share"] == 1
    assert panel["recording_found_share"] == pytest.approx(7 / 8)
    assert panel["facing_share"] == pytest.approx(5 / 6)
    assert panel["sharpness_at_end"] == pytest.approx(0.5, abs=0.02)
    series = walk_series(walks, home=HOME, tile_px=8)
    assert series["frame"] == [8.0]
    assert series["found"] == [pytest.approx(6 / 7)]


def test_walks_start_evenly_and_fit() -> None:
    assert walk_starts([10, 3, 7], num_walks=3, num_frames=5) == [(0, 0), (0, 3), (2, 1)]
    assert walk_starts([4], num_walks=3, num_frames=5) == []


# Criteria


def perfect() -> dict[str, dict[str, Any]]:
    best = STRETCH.model_dump()
    return {
        "moves": {name: best[name] for name in list(best)[:7]} | {"reader_right_way_share": 0.99},
        "walks": {"found_share": 1.0, "facing_share": 1.0, "sharpness_at_end": 1.0},
        "images": {"psnr_gain_db_4": 3.0, "psnr_gain_db_16": 2.0, "sharpness_ratio_4": 0.97},
        "true": {"true_tile_share": 1.0, "true_wall_share": 1.0},
    }


def test_every_criterion_of_a_tile_game_can_fail() -> None:
    settings = EvaluateSettings(game="overworld")
    rows = judge(perfect(), settings)
    assert len(rows) == 15
    assert all(row["passed"] for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["right_way_share"]["reader"] == 0.99
    assert by_name["right_way_share"]["stretch"] == STRETCH.right_way_share
    assert by_name["psnr_gain_db_4"]["beside"] == {"sharpness_ratio_4": 0.97}
    limits = TileLimits().model_dump()
    for row in rows:
        panels = perfect()
        figure = "sharpness_at_end" if row["name"].startswith("sharpness") else row["name"]
        panels[row["panel"]][figure] = limits[row["name"]] + (-0.001 if row["at_least"] else 0.001)
        failing = [other["name"] for other in judge(panels, settings) if not other["passed"]]
        assert failing == [row["name"]]
        del panels[row["panel"]][figure]
        assert row["name"] in [other["name"] for other in judge(panels, settings) if not other["passed"]]


def test_a_player_that_could_not_be_tracked_fails_what_was_not_measured() -> None:
    panels = {"moves": {"problem": "no walk"}, "walks": {"problem": "no walk"}, "images": perfect()["images"]}
    rows = judge(panels, EvaluateSettings(game="pokemon"))
    assert [row["name"] for row in rows if row["passed"]] == ["psnr_gain_db_4", "psnr_gain_db_16"]
    assert len(rows) == 13
