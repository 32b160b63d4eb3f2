"""The generated sample: one line a frame, decodes to the frames that its actions give again."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from worldgen_core.errors import ConfigError
from worldgen_core.games.overworld_simulator import (
    ACTION_NAMES,
    OverworldSimulator,
    record_size,
    render,
)
from worldgen_core.progress import EventList
from worldgen_core.video.samples import make_sample, plan_sample, play_sample

NUM_FRAMES = 90


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "pokemon"
    events = EventList()
    paths = make_sample(folder, num_videos=2, num_frames=NUM_FRAMES, progress=events)
    assert [path.name for path in paths] == ["town-1.mp4", "town-2.mp4"]
    assert [event.done for event in events.events] == [1, 2]
    return folder


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_folder_holds_videos_beside_their_action_files_and_nothing_else(sample: Path):
    assert sorted(path.name for path in sample.iterdir()) == [
        "town-1.mp4",
        "town-1.txt",
        "town-2.mp4",
        "town-2.txt",
    ]
    assert not [path for path in sample.parent.iterdir() if path != sample]


def test_lines_are_action_names_one_for_each_frame(sample: Path):
    for name in ("town-1", "town-2"):
        lines = (sample / f"{name}.txt").read_text().splitlines()
        assert len(lines) == NUM_FRAMES == len(decoded(sample / f"{name}.mp4"))
        assert set(lines) <= set(ACTION_NAMES)


def test_the_video_is_480_by_320_at_30_frames_a_second(sample: Path):
    with av.open(str(sample / "town-1.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (480, 320, 30)
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"


def test_frames_are_what_the_written_actions_give(sample: Path):
    """At 15 frames a second too: line 2k alone decides what frame 2k + 2 shows."""
    plan = plan_sample(num_videos=2, num_frames=NUM_FRAMES)
    for video in plan.videos:
        lines = (sample / f"{video.name}.txt").read_text().splitlines()
        simulator = OverworldSimulator(plan.world, video.start)
        frames = decoded(sample / f"{video.name}.mp4")
        for index in range(0, NUM_FRAMES, 2):
            small = cv2.resize(frames[index], (120, 80), interpolation=cv2.INTER_AREA)
            error = small.astype(float) - simulator.frame
            assert 10 * np.log10(255**2 / np.mean(error**2)) > 38
            simulator.advance(ACTION_NAMES.index(lines[index]))


def test_labels_are_the_same_bytes_again_and_seeds_differ(sample: Path, tmp_path: Path):
    make_sample(tmp_path / "again", num_videos=2, num_frames=NUM_FRAMES)
    make_sample(tmp_path / "other", seed=1, num_videos=1, num_frames=NUM_FRAMES)
    for name in ("town-1.txt", "town-2.txt"):
        assert (tmp_path / "again" / name).read_bytes() == (sample / name).read_bytes()
    assert (tmp_path / "other" / "town-1.txt").read_bytes() != (sample / "town-1.txt").read_bytes()
    assert (sample / "town-1.txt").read_bytes() != (sample / "town-2.txt").read_bytes()


def test_a_full_folder_is_left_alone(tmp_path: Path):
    (tmp_path / "mine.mp4").write_bytes(b"precious")
    with pytest.raises(ConfigError, match="empty"):
        make_sample(tmp_path, num_frames=10)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.mp4"]


def test_an_empty_folder_is_used(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    make_sample(tmp_path / "empty", num_videos=1, num_frames=4)
    assert len(list((tmp_path / "empty").iterdir())) == 2


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("worldgen_core.video.samples.write_video", fail)
    with pytest.raises(OSError, match="disk full"):
        make_sample(tmp_path / "broken", num_videos=1, num_frames=4)
    assert list(tmp_path.iterdir()) == []


def test_the_default_is_about_twenty_episodes_of_one_world():
    plan = plan_sample()
    assert sum(plan.num_frames // 2 // 800 for _ in plan.videos) in range(18, 23)
    assert len({video.player_seed for video in plan.videos}) == 3
    video, moments = next(play_sample(plan_sample(num_frames=7)))
    assert moments[0].situation == video.start
    assert record_size(render(plan.world, video.start)).shape == (80, 120, 3)
