"""Pictures: composed as promised, and the same bytes for the same frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.unit.test_evaluation_panels import make_dream, make_play, make_starts
from tests.unit.test_evaluation_report import make
from worldgen_core.evaluation.animation import compose, enlarge, write_gif
from worldgen_core.evaluation.mp4 import write_mp4
from worldgen_core.evaluation.pictures import write_curves, write_filmstrip, write_own_play
from worldgen_core.evaluation.sample_play import Sample, sample_of


def make_sample(num_frames: int = 12) -> Sample:
    starts = make_starts(1, num_frames, death={0: num_frames - 1})
    ends = np.zeros((1, num_frames), dtype=np.float32)
    ends[0, 3] = 0.9
    return sample_of(starts, make_dream(starts, ends), 0)


def test_a_sample_ends_with_the_crash_frame() -> None:
    sample = make_sample()
    assert len(sample.action) == 12
    assert sample.truth_over.nonzero()[0].tolist() == [11]
    assert sample.dream_over.nonzero()[0].tolist() == [3]


def test_pixels_become_squares() -> None:
    frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    picture = np.asarray(enlarge(frame, 3))
    assert picture.shape == (6, 6, 3)
    assert (picture[:3, 3:] == frame[0, 1]).all()


def test_game_is_left_dream_is_right_and_the_caption_changes_with_the_action() -> None:
    sample = make_sample()
    pictures = compose(sample, action_names=["idle", "flap"], scale=2)
    assert len(pictures) == 12
    page = np.asarray(pictures[5])
    width = sample.truth.shape[2] * 2
    top = (page.shape[0] - sample.truth.shape[1] * 2) // 2
    body = page[top:-top]
    assert (body[::2, :width:2] == sample.truth[5]).all()
    assert (body[::2, -width::2] == sample.dream[5]).all()
    pressed = compose(
        Sample(sample.truth, sample.dream, sample.action + 1, sample.truth_over, sample.dream_over),
        action_names=["idle", "flap"],
        scale=2,
    )
    assert (np.asarray(pressed[5])[-top:] != page[-top:]).any()
    # The end of a life that only the dream announces is written above the dream.
    assert (np.asarray(pictures[3])[:top] != page[:top]).any()


def test_animations_play_at_the_game_s_speed(tmp_path: Path) -> None:
    pictures = compose(make_sample(), action_names=["idle", "flap"], scale=3)
    write_gif(pictures, tmp_path / "a.gif", fps=30)
    with Image.open(tmp_path / "a.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 12
        assert gif.info["duration"] == 30
        assert gif.info["loop"] == 0
    write_mp4(pictures, tmp_path / "a.mp4", fps=30)
    with av.open(str(tmp_path / "a.mp4")) as video:
        assert video.streams.video[0].average_rate == 30
        assert sum(1 for _ in video.decode(video=0)) == 12


def draw_gif(path: Path) -> None:
    write_gif(compose(make_sample(), action_names=["idle", "flap"], scale=2), path, fps=15)


def draw_filmstrip(path: Path) -> None:
    starts = make_starts(2, 20)
    write_filmstrip(starts, make_dream(starts), path, scale=2)


def draw_own_play(path: Path) -> None:
    write_own_play(make_play(("rule", "rule", "idle"), 10), path, scale=1)


def draw_curves(path: Path) -> None:
    report = make()
    series = {"frame": [4.0, 8.0], "bird_found": [1.0, None], "reader_bird_found": [1.0, 1.0]}
    series |= {"height_error_px": [1.0, 2.0], "reader_height_error_px": [0.1, 0.1]}
    report["series"]["state"] = series
    names = ("lowest_sharpness_ratio", "mean_sharpness_ratio", "highest_sharpness_ratio")
    report["series"]["stability"] = {"frame": [25.0, 50.0], **{name: [1.0, 0.9] for name in names}}
    write_curves(report, path)


@pytest.mark.parametrize("draw", [draw_gif, draw_filmstrip, draw_own_play, draw_curves])
def test_the_same_figures_give_the_same_bytes(draw: Callable[[Path], None], tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    draw(first)
    draw(second)
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        assert picture.width > 40
        assert not {"Software", "date"} & set(picture.info)
