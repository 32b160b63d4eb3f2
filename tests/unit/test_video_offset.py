"""The offset is read from motion onsets; shifts, drift and breaks are told apart; noise is not believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldgen_core.errors import AlignmentError
from worldgen_core.video.judgement import OffsetJudgement, judge, with_evidence
from worldgen_core.video.offset import estimate_offset
from worldgen_core.video.settings import SliceSettings

NUM_FRAMES = 5_400
LATENCY = 1


def play(seed: int = 0, num_frames: int = NUM_FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Motion and actions of a tile RPG: walks, rests, blocked ways, ignored keys, people about."""
    rng = np.random.default_rng(seed)
    action = np.zeros(num_frames, np.int64)
    motion = rng.exponential(0.002, num_frames).astype(np.float32)
    frame = 5
    while frame < num_frames - 80:
        length, rest = int(rng.integers(8, 50)), int(rng.integers(0, 40))
        key = int(rng.integers(1, 5))
        action[frame : frame + length] = key
        kind = rng.random()
        if kind < 0.7:
            start = frame + LATENCY + int(rng.random() < 0.25)
            motion[frame] += 0.2
            motion[start : frame + length + int(rng.integers(0, 7))] += rng.uniform(8, 12)
        elif kind < 0.8:
            action[frame : frame + length : 3] = 5
        frame += length + rest
    for person in rng.integers(0, num_frames - 30, 40):
        motion[person : person + 16] += 0.3
    return motion, action


def shifted(action: np.ndarray, by: int) -> np.ndarray:
    """Labels that come `by` frames too late: setting offset_frames to -by mends them."""
    moved = np.full_like(action, -1)
    if by >= 0:
        moved[by:] = action[: len(action) - by]
    else:
        moved[:by] = action[-by:]
    return moved


def judged(motion: np.ndarray, action: np.ndarray, **changes: Any) -> OffsetJudgement:
    return judge(estimate_offset(motion, action), SliceSettings(game="pokemon", **changes))


def test_true_labels_fit_with_good_confidence():
    estimate = estimate_offset(*play())
    assert estimate.lag == LATENCY
    assert estimate.is_reliable
    assert estimate.confidence > 0.6
    assert estimate.num_agreeing > 50
    assert estimate.first_half is not None
    assert estimate.second_half is not None
    assert estimate.first_half.lag == estimate.second_half.lag == LATENCY
    assert (estimate.growth_frames, estimate.break_frame) == (0, None)
    assert estimate.histogram.argmax() == LATENCY + estimate.window
    assert len(estimate.onset_frame) == len(estimate.onset_lag) == estimate.histogram.sum()
    assert judged(*play()).kind == "fits"
    assert judged(*play(), onset_latency_frames=LATENCY).kind == "fits"


@pytest.mark.parametrize("by", [10, -10, 60, -100])
def test_large_shifts_are_noticed_and_measured(by):
    motion, action = play(1)
    for changes in ({}, {"onset_latency_frames": LATENCY}):
        found = judged(motion, shifted(action, by), **changes)
        assert found.kind == "shifted"
        assert found.is_problem
        assert found.offset_frames == -by
        assert f"offset_frames: {-by}" in found.next_step
        assert ("too late" if by > 0 else "too early") in found.message
    assert judged(motion, shifted(action, by), offset_frames=-3).offset_frames == -by - 3


@pytest.mark.parametrize("by", [2, -2, 3])
def test_small_shifts_are_noticed_only_where_the_latency_is_declared(by):
    motion, action = play(2)
    assert judged(motion, shifted(action, by)).kind == "fits"
    found = judged(motion, shifted(action, by), onset_latency_frames=LATENCY)
    assert (found.kind, found.offset_frames) == ("shifted", -by)


@pytest.mark.parametrize("by", [1, -1, 0])
def test_one_frame_is_within_the_reading(by):
    motion, action = play(3)
    assert judged(motion, shifted(action, by), onset_latency_frames=LATENCY).kind == "fits"


@pytest.mark.parametrize("rate", [1.002, 0.998, 1.001])
def test_drift_is_a_clock_rate(rate):
    motion, action = play(4, 9_000)
    place = np.clip((np.arange(len(action)) * rate).astype(np.int64), 0, len(action) - 1)
    found = judged(motion, action[place])
    assert found.kind == "drifting"
    assert float(str(found.clock_rate)) == pytest.approx(1 / rate, abs=2e-4)
    assert found.offset_frames is not None
    assert abs(found.offset_frames) <= 1
    assert "grows steadily" in found.message


@pytest.mark.parametrize("lost", [6, 10, -10])
def test_a_break_is_found_where_it_is(lost):
    motion, action = play(5)
    broken = np.concatenate([action[:2500], action[2500 + lost :], np.zeros(20, np.int64)])[: len(action)]
    estimate = estimate_offset(motion, broken)
    assert estimate.break_frame is not None
    assert 2400 < estimate.break_frame < 2800
    assert (estimate.lag_before, estimate.lag_after) == (LATENCY, LATENCY + lost)
    found = judge(estimate, SliceSettings(game="pokemon"))
    assert found.kind == "broken"
    assert f"frame {estimate.break_frame}" in found.message


@pytest.mark.parametrize("seed", range(4))
def test_labels_of_another_video_are_not_believed(seed):
    motion, action = play(seed)[0], play(seed + 100)[1]
    assert judged(motion, action).kind == "unknown"


@pytest.mark.parametrize(
    ("motion", "action"),
    [
        (np.zeros(100), np.ones(100)),
        (np.ones(100), np.zeros(100)),
        (np.zeros(0), np.zeros(0)),
        (np.ones(2), np.ones(2)),
        (np.arange(100) % 2, np.zeros(100)),
    ],
)
def test_too_little_to_see(motion, action):
    found = judged(motion.astype(np.float32), action.astype(np.int64))
    assert found.kind == "unknown"
    assert not found.is_problem


def test_a_picture_without_large_motion_is_read_by_small_motion():
    motion, action = play(6)
    assert judged(np.minimum(motion, 0.3).astype(np.float32), shifted(action, 10)).kind == "shifted"


def test_the_unit_of_motion_does_not_matter():
    motion, action = play(7)
    assert judged((motion / 255).astype(np.float32), shifted(action, -10)).kind == "shifted"


def test_true_labels_of_many_short_clips_are_never_refused():
    kinds = [judged(*play(seed, 900)).kind for seed in range(24)]
    assert set(kinds) <= {"fits", "unknown"}
    assert kinds.count("fits") > 12


def test_evidence_sharpens_an_error_of_counts():
    motion, action = play(8)
    error = AlignmentError("town", expected="one", found="5390, 10 fewer", next_step="guess")
    better = with_evidence(error, judged(motion, shifted(action, -10)))
    assert "10 fewer; labels come about 10 frames too early" in str(better)
    assert "offset_frames: 10" in better.next_step
    assert with_evidence(error, judged(motion, action)) is error
