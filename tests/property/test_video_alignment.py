"""Alignment: monotone, exact to the tick, the same for all forms of labels; mismatches say how far off."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldgen_core.errors import AlignmentError, ConfigError
from worldgen_core.video.alignment import NO_LABEL, align, frame_actions, label_lines
from worldgen_core.video.labels import FrameChanges, FrameLabels, HeldKeys, Labels, Origin
from worldgen_core.video.settings import SliceSettings

RUNS = settings(max_examples=40, deadline=None, derandomize=True)
ORIGIN = Origin("town.txt", "names")
MILLISECOND = Fraction(1, 1000)


def make_settings(**changes) -> SliceSettings:
    return SliceSettings(game="pokemon", **changes)


def per_frame(num_frames: int, first_frame: int = 0) -> FrameLabels:
    return FrameLabels(ORIGIN, np.arange(num_frames, dtype=np.int64), first_frame)


def constant_rate(num_frames: int, fps: Fraction, time_base: Fraction, start: int = 0) -> np.ndarray:
    ticks = [round(frame / fps / time_base) + start for frame in range(num_frames)]
    return np.array(ticks, np.int64)


def by_the_rule(pts: np.ndarray, time_base: Fraction, rate: Fraction, slack: Fraction) -> list[int]:
    """The last frame shown at each tick, straight from the definition."""
    shown = [(int(p) - int(pts[0])) * time_base - slack for p in pts]
    ticks = range(int((int(pts[-1]) - int(pts[0])) * time_base * rate) + 1)
    return [max(i for i, time in enumerate(shown) if time <= tick / rate) for tick in ticks]


STEPS = st.lists(st.integers(1, 60), min_size=2, max_size=120)


@RUNS
@given(
    STEPS,
    st.integers(-1000, 1000),
    st.sampled_from([Fraction(1, 600), Fraction(1, 1000), Fraction(1, 90000)]),
)
def test_variable_rates_follow_the_rule(steps: list[int], start: int, time_base: Fraction) -> None:
    pts = np.cumsum([start, *steps]).astype(np.int64)
    clock_rate = 1 / (np.mean(steps) * float(time_base))
    rate = Fraction(max(1, min(1000, int(clock_rate / 3)))) if clock_rate >= 3 else Fraction(1, 1)
    chosen = make_settings(rate=str(rate))
    try:
        aligned = align(pts, time_base, per_frame(len(pts)), chosen, name="town")
    except ConfigError:
        return
    if len(aligned.source_frame) == len(pts) and rate * 2 > clock_rate:
        return
    expected = by_the_rule(pts, time_base, rate, min(time_base, MILLISECOND))
    assert aligned.source_frame.tolist() == expected
    assert (np.diff(aligned.source_frame) >= 0).all()
    np.testing.assert_array_equal(aligned.pts, pts[aligned.source_frame])
    np.testing.assert_array_equal(aligned.action, aligned.source_frame)


RATES = st.sampled_from(
    [Fraction(24), Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(60)]
)
BASES = st.sampled_from([Fraction(1, 1000), Fraction(1, 15360), Fraction(1, 90000), Fraction(1, 1000000)])


@RUNS
@given(RATES, BASES, st.integers(-5000, 5000), st.integers(2, 300), st.sampled_from([5, 10, 12, 15]))
def test_constant_rates_are_picked_within_a_frame_and_evenly(
    fps: Fraction, time_base: Fraction, start: int, num_frames: int, rate: int
) -> None:
    pts = constant_rate(num_frames, fps, time_base, start)
    aligned = align(pts, time_base, per_frame(num_frames), make_settings(rate=rate), name="town")
    frame = aligned.source_frame
    due = np.arange(len(frame)) / rate
    late = due - frame / float(fps)
    assert (late > -0.0015).all()
    assert (late < 1 / float(fps) + 0.0015).all()
    jitter = 1 if time_base == MILLISECOND else 0
    assert set(np.diff(frame).tolist()) <= set(range(int(fps / rate) - jitter, int(fps / rate) + 2 + jitter))
    if (fps / rate).denominator == 1:
        np.testing.assert_array_equal(frame, np.arange(len(frame)) * int(fps / rate))


@RUNS
@given(RATES, BASES, st.integers(-5000, 5000), st.integers(1, 300))
def test_the_videos_own_rate_takes_its_own_frames(
    fps: Fraction, time_base: Fraction, start: int, num_frames: int
) -> None:
    pts = constant_rate(num_frames, fps, time_base, start)
    aligned = align(pts, time_base, per_frame(num_frames), make_settings(rate=str(fps)), name="town")
    np.testing.assert_array_equal(aligned.source_frame, np.arange(num_frames))
    np.testing.assert_array_equal(aligned.action, np.arange(num_frames))


def test_a_picture_that_stays_is_taken_again_and_time_goes_on():
    pts = np.array([0, 33, 67, 100, 400, 433, 467], np.int64)
    aligned = align(pts, MILLISECOND, per_frame(7), make_settings(rate=30), name="town")
    assert aligned.source_frame.tolist() == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5, 6]


def test_a_rate_above_the_videos_is_refused():
    pts = constant_rate(100, Fraction(30), MILLISECOND)
    with pytest.raises(ConfigError, match=r"slices\.rate: expected at most the rate of town, 30 frames"):
        align(pts, MILLISECOND, per_frame(100), make_settings(rate=31), name="town")


@RUNS
@given(st.lists(st.integers(0, 7), min_size=2, max_size=200), BASES, st.integers(0, 3), st.integers(-3, 3))
def test_all_forms_of_labels_give_the_same_actions(
    actions: list[int], time_base: Fraction, first: int, offset: int
) -> None:
    """Events rounded to milliseconds, runs and one label a frame say the same, also shifted."""
    fps = Fraction(30)
    pts = constant_rate(len(actions), fps, time_base, first)
    chosen = make_settings(rate=15, offset_frames=offset, tolerance_frames=200)
    action = np.array(actions, np.int64)
    changed = np.flatnonzero(np.diff(action, prepend=0))
    stamps = np.array([round(1000 * frame / fps) for frame in changed.tolist()], np.int64) * 10**6
    forms: tuple[Labels, ...] = (
        FrameLabels(ORIGIN, action),
        FrameChanges(ORIGIN, changed, action[changed], len(actions)),
        HeldKeys(ORIGIN, stamps, action[changed], int(stamps[-1]) if len(stamps) else 0, 10**6),
    )
    labels, *others = [frame_actions(pts, time_base, form, chosen, name="town") for form in forms]
    known = labels != NO_LABEL
    for other in others:
        np.testing.assert_array_equal(other[known], labels[known])
    if known[::2].any():
        plain = align(pts, time_base, forms[0], chosen, name="town")
        np.testing.assert_array_equal(plain.action, labels[plain.source_frame])


# Offset and clock rate


@RUNS
@given(st.integers(-20, 20), st.integers(30, 100))
def test_an_offset_shifts_labels_by_whole_frames(offset: int, num_frames: int) -> None:
    pts = constant_rate(num_frames, Fraction(30), MILLISECOND)
    chosen = make_settings(rate=30, offset_frames=offset)
    aligned = align(pts, MILLISECOND, per_frame(num_frames), chosen, name="town")
    np.testing.assert_array_equal(aligned.action, aligned.source_frame - offset)
    assert len(aligned.action) == num_frames - abs(offset) == num_frames - aligned.num_unlabelled
    assert aligned.first_tick == max(offset, 0)


@RUNS
@given(st.sampled_from(["0.5", "2", "0.25", "3", "1.0002", "0.9983", "1.01", "1"]), st.integers(-5, 5))
def test_lines_follow_the_clock_rate(clock_rate: str, offset: int) -> None:
    frames = np.arange(20_000)
    lines = label_lines(frames, make_settings(clock_rate=clock_rate, offset_frames=offset))
    rate = Fraction(clock_rate)
    assert (np.diff(lines) >= 0).all()
    for frame in range(0, 20_000, 997):
        exact = (frame - offset) * rate
        assert abs(lines[frame] - exact) <= (Fraction(1, 2) if abs(rate - 1) < Fraction(1, 50) else 1)
        if rate.denominator == 1 or rate < Fraction(9, 10):
            assert lines[frame] == exact.numerator // exact.denominator


def test_labels_at_half_the_rate_and_at_twice_the_rate():
    pts = constant_rate(100, Fraction(30), MILLISECOND)
    half = align(pts, MILLISECOND, per_frame(50), make_settings(rate=30, clock_rate=0.5), name="town")
    np.testing.assert_array_equal(half.action, np.arange(100) // 2)
    twice = align(pts, MILLISECOND, per_frame(200), make_settings(rate=30, clock_rate=2), name="town")
    np.testing.assert_array_equal(twice.action, np.arange(100) * 2)


def test_held_keys_follow_the_clock_rate():
    pts = constant_rate(3000, Fraction(30), Fraction(1, 15360))
    times = np.arange(1, 100, dtype=np.int64) * 10**9
    labels = HeldKeys(ORIGIN, times * 1002 // 1000, np.arange(1, 100, dtype=np.int64), int(times[-1]), 1)
    chosen = make_settings(rate=30, clock_rate="1.002")
    aligned = align(pts, Fraction(1, 15360), labels, chosen, name="town")
    np.testing.assert_array_equal(aligned.action, np.arange(3000) // 30)


def test_huge_numbers_do_not_overflow():
    time_base = Fraction(1, 10**9)
    pts = constant_rate(50, Fraction(30000, 1001), time_base, start=2**61)
    chosen = make_settings(rate="14.985014985015", clock_rate="1.000000000001")
    aligned = align(pts, time_base, per_frame(50), chosen, name="town")
    np.testing.assert_array_equal(aligned.source_frame, np.arange(len(aligned.action)) * 2)
    held = HeldKeys(ORIGIN, np.array([0], np.int64), np.array([3], np.int64), 0, 1)
    assert set(align(pts, time_base, held, chosen, name="town").action.tolist()) == {3}


def test_frames_counted_from_one_leave_the_first_frame_out():
    pts = constant_rate(30, Fraction(30), MILLISECOND)
    aligned = align(pts, MILLISECOND, per_frame(30, first_frame=1), make_settings(rate=30), name="town")
    assert (aligned.first_tick, aligned.num_unlabelled) == (1, 1)


def test_a_rate_in_place_of_time_stamps():
    pts = np.zeros(30, np.int64)
    aligned = align(pts, MILLISECOND, per_frame(30), make_settings(rate=15, source_fps=30), name="town")
    np.testing.assert_array_equal(aligned.source_frame, np.arange(0, 30, 2))


# What does not fit


PTS = constant_rate(600, Fraction(30), Fraction(1, 15360))


def fail(labels: Labels, **changes) -> str:
    with pytest.raises(AlignmentError) as caught:
        align(PTS, Fraction(1, 15360), labels, make_settings(**changes), name="town.mp4")
    return str(caught.value)


def test_counts_within_the_tolerance_fit():
    for count in (598, 599, 600, 601, 602):
        aligned = align(PTS, Fraction(1, 15360), per_frame(count), make_settings(rate=30), name="town")
        assert len(aligned.action) == min(count, 600)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (
            597,
            ["597, 3 fewer", "began later", "offset_frames: 3", "clock_rate: 0.995", "tolerance_frames: 3"],
        ),
        (610, ["610, 10 more", "began before", "offset_frames: -10", "clock_rate: 1.016667"]),
        (300, ["300 fewer", "0.5 times a frame: set clock_rate: 0.5"]),
        (1201, ["601 more", "2 times a frame: set clock_rate: 2"]),
        (0, ["0, 600 fewer"]),
    ],
)
def test_other_counts_say_how_far_off_and_what_would_mend_it(count, words):
    message = fail(per_frame(count))
    assert message.startswith("town.mp4: town.txt: expected 600 labels, one a frame, within 2")
    for word in words:
        assert word in message


def test_skipped_blank_lines_are_suspected():
    labels = FrameLabels(ORIGIN, np.zeros(400, np.int64), num_blank=200)
    assert "200 blank lines were skipped" in fail(labels)


def test_what_the_settings_explain_fits():
    for count, changes in (
        (590, {"offset_frames": 10}),
        (610, {"offset_frames": -10}),
        (300, {"clock_rate": 0.5}),
    ):
        align(PTS, Fraction(1, 15360), per_frame(count), make_settings(**changes), name="town")


def test_changes_and_events_beyond_the_end():
    one = np.array([1], np.int64)
    message = fail(FrameChanges(ORIGIN, one, one, num_frames=700))
    assert "frame 699, 100 frames beyond the end" in message
    message = fail(HeldKeys(ORIGIN, one, one, 20_200 * 10**6, 10**6))
    assert "20.200 s, 0.200 s beyond the end" in message
    assert "clock_rate: 1.01" in message
    message = fail(HeldKeys(ORIGIN, one, one, 19_000 * 10**9, 10**6))
    assert "set time_unit" in message
    align(
        PTS,
        Fraction(1, 15360),
        HeldKeys(ORIGIN, one, one, 20_050 * 10**6, 10**6),
        make_settings(),
        name="town",
    )


def test_an_offset_that_leaves_nothing():
    assert "offset_frames -700" in fail(per_frame(600), offset_frames=-700)


@pytest.mark.parametrize("pts", [[], [0, 10, 5], [0, 2**62]])
def test_time_stamps_that_are_of_no_use(pts):
    with pytest.raises(AlignmentError, match=r"town\.mp4"):
        align(
            np.array(pts, np.int64), MILLISECOND, per_frame(len(pts)), make_settings(rate=1), name="town.mp4"
        )


def test_a_gap_of_years_is_no_video():
    pts = np.array([0, 33, 67, 10**12], np.int64)
    with pytest.raises(AlignmentError, match=r"frame 3: .*the longest gap is 1e"):
        align(pts, MILLISECOND, per_frame(4), make_settings(), name="town.mp4")
