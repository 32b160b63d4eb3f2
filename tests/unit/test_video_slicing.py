"""From a folder of videos and action files to episodes, on a small recording of the overworld."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from storage.clips import ClipReader
from worldgen_core.errors import ConfigError
from worldgen_core.games.catalogue import get_facts
from worldgen_core.progress import silent
from worldgen_core.video.footage import Footage, resolve_sources
from worldgen_core.video.sample_settings import SampleSettings
from worldgen_core.video.samples import make_sample
from worldgen_core.video.settings import SliceSettings
from worldgen_core.video.slicing import join_slices, slice_video
from worldgen_core.video.source_settings import SourceSettings

NUM_FRAMES = 1200
SLICES = SliceSettings(game="overworld", episode_frames=100, gap_frames=20, validation_share=0.2)
NAMES = get_facts("overworld").action_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with its labels, the same with late labels, with too few, and without any."""
    sample = tmp_path_factory.mktemp("sample") / "videos"
    make_sample(sample, num_videos=1, num_frames=NUM_FRAMES)
    lines = (sample / "town-1.txt").read_text().splitlines()
    for name in ("late", "short", "unlabelled"):
        shutil.copy(sample / "town-1.mp4", sample / f"{name}.mp4")
    (sample / "late.txt").write_text("\n".join([*["none"] * 10, *lines[:-10]]) + "\n")
    (sample / "short.txt").write_text("\n".join(lines[:-50]) + "\n")
    return sample


@pytest.fixture(scope="module")
def parts(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the stage makes of each video."""
    made: dict[str, Path] = {}
    for source in sources(folder):
        made[source.source] = tmp_path_factory.mktemp(source.source)
        slice_video(source, folder, out=made[source.source], progress=silent)
    return made


def sources(folder: Path) -> tuple[SourceSettings, ...]:
    return resolve_sources(Footage(folder, "overworld", "test"), SLICES, SampleSettings())


def facts(part: Path) -> dict[str, object]:
    return json.loads((part / "slice.json").read_text())


def test_every_frame_has_the_action_that_was_held_then(folder: Path, parts: dict[str, Path]) -> None:
    lines = (folder / "town-1.txt").read_text().splitlines()
    reader = ClipReader(parts["town-1"])
    rows = reader.episodes()
    assert {row.split for row in rows} == {"train", "validation"}
    for row in rows:
        episode = reader.read_episode(row.episode_id)
        assert episode.num_frames == 100
        np.testing.assert_array_equal(np.diff(episode.source_frame), 2)
        assert [NAMES[a] for a in episode.action] == [lines[i] for i in episode.source_frame]


def test_what_is_held_out_shares_no_seconds_with_training(parts: dict[str, Path]) -> None:
    reader = ClipReader(parts["town-1"])
    frames = {
        split: np.concatenate(
            [reader.read_episode(row.episode_id).source_frame for row in reader.episodes(split)]
        )
        for split in ("train", "validation")
    }
    distance = np.abs(frames["train"][:, None] - frames["validation"][None]).min()
    assert distance > 2 * SLICES.gap_frames


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("late", "labels come"),
        ("short", "1150"),
        ("unlabelled", "an action file beside the video"),
    ],
)
def test_a_video_that_cannot_be_used_stops_only_itself(parts: dict[str, Path], name: str, said: str) -> None:
    found = facts(parts[name])
    assert found["num_episodes"] == 0
    assert said in str(found["problem"])
    assert not (parts[name] / "dataset.json").exists()


def test_episodes_of_all_videos_are_joined(parts: dict[str, Path], tmp_path: Path) -> None:
    lenient = SLICES.model_copy(update={"max_quarantined_share": 1.0})
    outcome = join_slices(lenient, parts, out=tmp_path)
    reader = ClipReader(tmp_path)
    assert outcome.metrics["num_episodes"] == len(reader.episodes()) == facts(parts["town-1"])["num_episodes"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert [video["name"] for video in report["videos"]] == ["late", "short", "town-1", "unlabelled"]


def test_too_much_unusable_footage_is_an_error(parts: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 50 % of the footage left out"):
        join_slices(SLICES, parts, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
