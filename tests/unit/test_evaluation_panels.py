"""Each panel on hand-made rollouts whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from worldgen_core.evaluation.action_panel import action_panel, press_correlation
from worldgen_core.evaluation.criteria import is_playable, judge, num_passed
from worldgen_core.evaluation.distribution_panel import distribution_panel
from worldgen_core.evaluation.dream import Dream, frames_wanted
from worldgen_core.evaluation.image_panel import image_panel, nearest_frames
from worldgen_core.evaluation.own_play import Play
from worldgen_core.evaluation.players_panel import players_panel, survived_frames
from worldgen_core.evaluation.rollouts import Along
from worldgen_core.evaluation.settings import EvaluateSettings
from worldgen_core.evaluation.stability_panel import segment_series, stability_panel
from worldgen_core.evaluation.starts import Starts
from worldgen_core.evaluation.state_panel import columns_to_read, state_panel


def make_starts(num_starts: int, num_columns: int, *, death: dict[int, int] | None = None) -> Starts:
    """Starts of random pictures whose true height falls by one pixel a frame."""
    rng = np.random.default_rng(0)
    deaths = np.full(num_starts, num_columns, dtype=np.int64)
    for row, column in (death or {}).items():
        deaths[row] = column
    return Starts(
        context=rng.integers(0, 256, (num_starts, 2, 24, 16, 3), dtype=np.uint8),
        context_action=np.zeros((num_starts, 1), dtype=np.int64),
        action=np.zeros((num_starts, num_columns), dtype=np.int64),
        truth=rng.integers(0, 256, (num_starts, num_columns, 24, 16, 3), dtype=np.uint8),
        death=deaths,
        height=np.tile(np.arange(num_columns, dtype=np.float32), (num_starts, 1)),
        visible=np.ones((num_starts, num_columns), dtype=bool),
    )


def make_dream(starts: Starts, terminated: np.ndarray | None = None) -> Dream:
    ends = np.zeros(starts.action.shape, dtype=np.float32) if terminated is None else terminated
    return Dream(starts.truth.copy(), ends, frames_wanted(starts))


def make_play(players: tuple[str, ...], num_frames: int, **changes: np.ndarray) -> Play:
    shape = (len(players), num_frames)
    values = {
        "over": np.zeros(shape, dtype=bool),
        "found": np.ones(shape, dtype=np.float32),
        "sharpness": np.full(shape, 10, dtype=np.float32),
        "brightness": np.full(shape, 100, dtype=np.float32),
        "motion": np.full(shape, 2, dtype=np.float32),
        "stills": np.zeros((len(players), 2, 8, 8, 3), dtype=np.uint8),
    }
    return Play(players, **(values | changes))


def test_found_and_height_error_count_only_the_living_that_the_reader_sees_in_truth() -> None:
    starts = make_starts(4, 40, death={3: 20})
    truth_height = starts.height + 1
    truth_height[2, 31] = np.nan
    dream_height = starts.height + np.array([[2], [4], [100], [100]], dtype=np.float32)
    dream_height[1, 31] = np.nan
    panel = state_panel(starts, make_dream(starts), dream_height=dream_height, truth_height=truth_height)
    # Start 3 is dead after 32 frames, start 2 unreadable in truth; of 0 and 1 the dream lost one.
    assert panel["bird_found_32"] == pytest.approx(1 / 2)
    assert panel["num_found_32"] == 2
    assert panel["reader_bird_found_32"] == pytest.approx(2 / 3)
    assert panel["height_error_px_32"] == pytest.approx((2 + 100) / 2)
    assert panel["height_error_px_8"] == pytest.approx((2 + 4 + 100 + 100) / 4)
    assert panel["reader_height_error_px_8"] == pytest.approx(1)
    assert panel["bird_found_64"] is None
    assert panel["height_error_px_64"] is None
    assert (panel["num_starts"], panel["num_deaths"]) == (4, 1)


def test_terminations_match_within_one_frame_and_others_are_false() -> None:
    starts = make_starts(5, 20, death={0: 10, 1: 10, 2: 10, 3: 19})
    ends = np.zeros((5, 20), dtype=np.float32)
    ends[0, 11] = 0.9  # one frame late: a match
    ends[1, 8] = 0.9  # two frames early: false, and a miss
    ends[2, 9], ends[2, 3] = 0.9, 0.9  # a match, but not the first announcement
    ends[3, 18] = 0.6  # one frame early: a match
    ends[4, 19] = 0.4  # no announcement
    panel = state_panel(
        starts, make_dream(starts, ends), dream_height=starts.height, truth_height=starts.height
    )
    assert panel["termination_within_1"] == pytest.approx(3 / 4)
    assert panel["first_termination_within_1"] == pytest.approx(2 / 4)
    # Living frames that are not beside a death: 9 + 9 + 9 + 18 + 20.
    assert panel["false_terminations_per_frame"] == pytest.approx(2 / 65)


def test_without_a_termination_head_nothing_is_claimed() -> None:
    starts = make_starts(2, 20, death={0: 10})
    ends = np.full((2, 20), np.nan, dtype=np.float32)
    panel = state_panel(
        starts, make_dream(starts, ends), dream_height=starts.height, truth_height=starts.height
    )
    assert panel["termination_within_1"] is None
    assert panel["false_terminations_per_frame"] is None


def test_reading_leaves_out_the_dead() -> None:
    alive = make_starts(6, 40, death={5: 8}).alive
    wanted = columns_to_read(alive)
    assert wanted[5].nonzero()[0].tolist() == [3, 7]
    assert wanted[0, :32].all()


def test_flap_response_is_a_ratio_of_mean_lifts() -> None:
    pairs = make_starts(4, 8)
    pairs.height[:, -1] = [100, 120, 20, 40]  # both lifts are 80
    read = pairs.height.copy()
    read[:, -1] = [100, 120, 40, 40]  # lifts 60 and 80
    along = along_of(make_starts(2, 40))
    panel = action_panel(Along(pairs, make_dream(pairs), read, pairs.height), along)
    assert panel["flap_response_error"] == pytest.approx(10 / 80)
    assert panel["reader_flap_response_error"] == 0
    assert panel["flap_lift_difference_px"] == pytest.approx(10)
    read[0, -1] = np.nan
    lost_half = action_panel(Along(pairs, make_dream(pairs), read, pairs.height), along)
    assert lost_half["flap_response_error"] == 0
    read[1, -1] = np.nan
    assert (
        action_panel(Along(pairs, make_dream(pairs), read, pairs.height), along)["flap_response_error"]
        is None
    )


def test_presses_read_back_from_heights() -> None:
    rng = np.random.default_rng(0)
    action = (rng.random((4, 40)) < 0.2).astype(np.int64)
    speed = np.zeros(4)
    height, deaf = (np.zeros((4, 40), dtype=np.float32) for _ in range(2))
    for j in range(1, 40):
        speed = np.where(action[:, j] == 1, -9.0, np.minimum(speed + 1, 10))
        height[:, j] = height[:, j - 1] + speed
        deaf[:, j] = deaf[:, j - 1] + min(j, 10)
    heard, unheard = press_correlation(height, action), press_correlation(deaf, action)
    assert heard is not None
    assert heard > 0.6
    assert unheard is not None
    assert abs(unheard) < 0.2
    assert press_correlation(height, np.zeros_like(action)) is None


def test_survival_ends_with_the_life_or_with_a_bird_lost_for_good() -> None:
    over = np.zeros((3, 40), dtype=bool)
    over[0, 10], over[0, 12] = True, True
    found = np.ones((3, 40), dtype=np.float32)
    found[1, 5:9] = 0  # lost and found again
    found[1, 20:] = 0
    play = make_play(("rule", "rule", "rule"), 40, over=over, found=found)
    assert survived_frames(play, 30).tolist() == [10, 20, 30]


def test_players_compare_shares_in_points() -> None:
    players = ("rule", "idle", "spam", "random")
    found = np.ones((4, 8), dtype=np.float32)
    found[1, ::2] = 0
    found[2, 4:] = np.nan
    dream = make_play(players, 8, found=found)
    panel = players_panel(dream, make_play(players, 8), game_frames=8)
    assert panel["rule_survival_ratio"] == 1
    assert panel["idle_found_gap_points"] == pytest.approx(50)
    assert panel["spam_found_gap_points"] == 0


def test_pictures_count_the_living_and_have_baselines() -> None:
    starts = make_starts(3, 20, death={2: 2})
    dream = make_dream(starts)
    round_trips = {after: starts.truth[:2, after - 1] for after in (1, 4, 16)}
    round_trips[1] = starts.truth[:, 0]
    panel = image_panel(starts, dream, training_frames=starts.truth[0], round_trips=round_trips)
    assert panel["psnr_16"] == pytest.approx(60)
    assert panel["round_trip_psnr_4"] == pytest.approx(60)
    assert panel["copy_last_psnr_1"] < 12
    assert (panel["num_frames_1"], panel["num_frames_4"]) == (3, 2)
    assert "psnr_64" not in panel
    assert panel["nearest_training_psnr_1"] > panel["copy_last_psnr_1"]
    assert panel["sharpness_ratio_4"] == pytest.approx(1)


def test_nearest_frames_finds_the_frame_itself() -> None:
    frames = make_starts(1, 20).truth[0]
    np.testing.assert_array_equal(nearest_frames(frames, frames[[7, 3]]), frames[[7, 3]])


def test_distribution_of_a_perfect_dream_equals_its_null() -> None:
    starts = make_starts(4, 64)
    panel = distribution_panel(starts, make_dream(starts), seed=0)
    assert panel["kernel_distance"] == pytest.approx(panel["kernel_distance_null"])
    black = Dream(np.zeros_like(starts.truth), make_dream(starts).terminated, frames_wanted(starts))
    assert distribution_panel(starts, black, seed=0)["kernel_distance"] > panel["kernel_distance"] + 1
    assert (
        distribution_panel(make_starts(1, 8), make_dream(make_starts(1, 8)), seed=0)["kernel_distance"]
        is None
    )


@pytest.mark.parametrize(
    ("name", "level"), [("sharpness", 4), ("sharpness", 25), ("brightness", 140), ("motion", 0.1)]
)
def test_one_bad_segment_is_a_collapse(name: str, level: float) -> None:
    good = make_play(("rule", "idle"), 100)
    assert stability_panel(good, good, segment_frames=25)["num_collapsed_segments"] == 0
    values = getattr(good, name).copy()
    values[1, 50:75] = level
    bad = make_play(("rule", "idle"), 100, **{name: values})
    panel = stability_panel(bad, good, segment_frames=25)
    assert panel["num_collapsed_segments"] == 1
    assert panel["num_segments"] == 8
    if name == "sharpness":
        assert panel["worst_segment"] == {"player": "idle", "slot": 1, "first_frame": 50}
        assert panel["worst_sharpness_ratio"] == pytest.approx(level / 10)
        lowest = segment_series(bad, good, segment_frames=25)["lowest_sharpness_ratio"]
        assert lowest[0] == 1


def test_where_scenes_vary_only_what_no_true_segment_shows_is_a_collapse() -> None:
    true = make_play(("recorded", "recorded"), 100)
    room = true.sharpness.copy()
    room[1] = 3
    varied = make_play(("recorded", "recorded"), 100, sharpness=room)
    elsewhere = make_play(("recorded", "recorded"), 100, sharpness=room[::-1].copy())

    def collapses(dream: Play) -> int:
        panel = stability_panel(dream, varied, segment_frames=25, is_varied=True)
        return panel["num_collapsed_segments"]

    assert collapses(elsewhere) == 0
    assert stability_panel(elsewhere, varied, segment_frames=25)["num_collapsed_segments"] > 0
    for name, level in (("sharpness", 1), ("sharpness", 25), ("brightness", 200)):
        values = getattr(true, name).copy()
        values[0, :25] = level
        assert collapses(make_play(("recorded", "recorded"), 100, **{name: values})) == 1, name
    still = np.zeros_like(true.motion)
    still[1] = true.motion[1]
    assert collapses(make_play(("recorded", "recorded"), 100, motion=still)) == 4, "one slot stands still"


def test_criteria_need_a_value_and_every_limit() -> None:
    limits = EvaluateSettings(game="flappy")
    perfect = {
        "state": {
            **{f"bird_found_{after}": 1.0 for after in (32, 64, 128)},
            **{f"height_error_px_{after}": 0.1 for after in (8, 32, 64)},
            "reader_height_error_px_8": 0.03,
            "termination_within_1": 1.0,
            "false_terminations_per_frame": 0.0,
        },
        "actions": {"flap_response_error": 0.1},
        "players": {"rule_survival_ratio": 0.9}
        | {f"{name}_found_gap_points": 5.0 for name in ("idle", "spam", "random")},
    }
    rows = judge(perfect, limits)
    assert is_playable(rows)
    assert len(rows) == 13
    assert next(row for row in rows if row["name"] == "height_error_px_8")["reader"] == 0.03
    for panel, values in perfect.items():
        for name in values:
            if name.startswith("reader_"):
                continue
            missing = {**perfect, panel: {**values, name: None}}
            assert num_passed(judge(missing, limits)) == 12
            worse = -1.0 if "found_" in name and "gap" not in name else 99.0
            if name in ("termination_within_1", "rule_survival_ratio"):
                worse = 0.0
            assert not is_playable(judge({**perfect, panel: {**values, name: worse}}, limits)), name
    assert judge({"images": {}}, limits) == []
    assert not is_playable([])


def along_of(starts: Starts) -> Along:
    return Along(starts, make_dream(starts), starts.height.copy(), starts.height.copy())
