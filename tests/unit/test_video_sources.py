"""A folder becomes sources; worldgen.yaml is data with dotted errors; problems stay with their source."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from worldgen_core.errors import ConfigError
from worldgen_core.games.catalogue import get_game
from worldgen_core.video.folder_config import read_config
from worldgen_core.video.footage import Footage, resolve_sources
from worldgen_core.video.inspection import read_source_labels
from worldgen_core.video.labels import FrameLabels
from worldgen_core.video.sample_settings import SampleSettings
from worldgen_core.video.settings import SliceSettings
from worldgen_core.video.sources import find_sources, source_digests

SETTINGS = SliceSettings(game="flappy")


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("flap\nidle\n")
    return folder


def config(folder: Path, text: str) -> Path:
    (folder / "worldgen.yaml").write_text(text)
    return folder


def test_videos_and_labels_are_paired_in_the_order_of_names(tmp_path):
    names = ["b.mkv", "b.csv", "b.txt", "b.keys.csv", "A.MP4", "A.jsonl", "c.webm", "c.keys.csv", "d.avi"]
    found = find_sources(
        fill(tmp_path, *names, "e.mov", "e.csv", "e.jsonl", "z.txt", ".hidden.mp4", "notes.md")
    )
    pairs = [(source.name, source.labels and source.labels.name) for source in found.sources]
    expected = [("A", "A.jsonl"), ("b", "b.txt"), ("c", "c.keys.csv"), ("d", None), ("e", "e.csv")]
    assert pairs == expected
    assert found.unused == ("b.csv", "b.keys.csv", "e.jsonl", "z.txt")
    problems = {source.name: source.problem for source in found.sources if source.problem}
    assert list(problems) == ["d"]
    assert "an action file beside the video: d.txt" in str(problems["d"])


def test_worldgen_yaml_names_files_and_settings(tmp_path):
    fill(tmp_path, "raw/town 1.mp4", "keys/town.csv", "city.mp4", "city.txt", "city.csv", "intro.mp4")
    config(
        tmp_path,
        """
        defaults: {fps: 30000/1001, keymap: {no: idle, jump: flap}, tolerance: 5}
        videos:
          town: {video: raw/town 1.mp4, labels: keys/town.csv, format: names, offset: -3, clock_rate: 1.0002}
          city:
            labels: city.csv
            fps: 25
            keymap: {jump: 0}
            crop: [1, 2, 30, 20]
          intro: {ignore: true}
        """,
    )
    found = find_sources(tmp_path)
    assert [source.name for source in found.sources] == ["city", "town"]
    assert found.ignored == ("intro",)
    assert found.unused == ("city.txt",)
    city, town = (source.settings(SETTINGS) for source in found.sources)
    assert (town.source_fps_exact, town.offset_frames, town.clock_exact) == (
        Fraction(30000, 1001),
        -3,
        Fraction(10002, 10000),
    )
    assert (town.label_format, town.tolerance_frames, town.keymap) == (
        "names",
        5,
        {"no": "idle", "jump": "flap"},
    )
    assert (city.source_fps, city.keymap["jump"], city.offset_frames) == (25, 0, 0)
    assert (city.crop.mode, city.crop.box) == ("fixed", (1, 2, 30, 20))
    assert found.sources[0].labels == tmp_path / "city.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("videos: {town: {offest: 3}}", r"videos\.town\.offest: .*did you mean offset"),
        ("videos: {twon: {offset: 3}}", r"videos\.twon: .*did you mean town"),
        ("offset_frames: -10", r"offset_frames: .*defaults: \{offset_frames: …\}"),
        ("offset: 3", r"offset: .*defaults: \{offset: …\}"),
        ("video: {}", r"worldgen\.yaml: video: .*did you mean videos"),
        ("videos: {town: {fps: fast}}", r"videos\.town\.fps.*'fast'"),
        ("videos: {town: {fps: 0}}", r"videos\.town\.fps.*greater than 0"),
        ("videos: {town: {fps: -5}}", r"videos\.town\.fps"),
        ("videos: {town: {fps: .nan}}", r"videos\.town\.fps"),
        ("videos: {town: {fps: 1/0}}", r"videos\.town\.fps"),
        ("videos: {town: {fps: 1e400000000}}", r"videos\.town\.fps"),
        ("videos: {town: {offset: ten}}", r"videos\.town\.offset.*'ten'"),
        ("videos: {town: {format: word}}", r"videos\.town\.format.*'word'"),
        ("videos: {town: {crop: [-1, 0, 3, 3]}}", r"videos\.town\.crop\.box\.0"),
        ("videos: {town: [1]}", r"videos\.town"),
        ("[1, 2]", r"worldgen\.yaml: expected"),
        ("videos: {town: {offset: 3, offset: 4}}", "'offset' is given twice"),
        ("a: &x [1]\nb: *x", "anchors and aliases"),
        ("[" * 100, "nested too deeply"),
        ("videos: {town: !!python/object:os.system {}}", "constructor"),
        ("videos: {", "worldgen.yaml"),
        ("{[1]: 2}", "a name is expected"),
    ],
)
def test_a_wrong_worldgen_yaml_names_the_path(tmp_path, text, message):
    config(fill(tmp_path, "town.mp4", "town.txt"), text)
    with pytest.raises(ConfigError, match=message) as caught:
        find_sources(tmp_path)
    assert "\n" not in str(caught.value)


def test_values_out_of_the_stages_range(tmp_path):
    config(fill(tmp_path, "town.mp4", "town.txt"), "defaults: {offset: 99999999}")
    with pytest.raises(ConfigError, match="offset_frames"):
        find_sources(tmp_path).sources[0].settings(SETTINGS)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"{}"])
def test_an_empty_worldgen_yaml_says_nothing(tmp_path, content):
    (tmp_path / "worldgen.yaml").write_bytes(content)
    assert read_config(tmp_path).videos == {}


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\0\0", b"\xc3\x28: 1"])
def test_a_worldgen_yaml_that_is_no_text(tmp_path, content):
    (tmp_path / "worldgen.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match="a YAML file"):
        read_config(tmp_path)


def test_nothing_is_read_outside_the_folder(tmp_path):
    folder = fill(tmp_path / "in", "good.mp4", "good.txt", "leak.txt", "leaky.mp4", "up.mp4", "up.txt")
    fill(tmp_path / "out", "x.mp4", "x.txt")
    (folder / "leak.mp4").symlink_to(tmp_path / "out" / "x.mp4")
    (folder / "leaky.txt").symlink_to("../out/x.txt")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "dir.mp4").mkdir()
    fill(folder, "pipe.txt", "dir.txt")
    config(folder, "videos: {up: {labels: ../out/x.txt}, abs: {video: /etc/passwd, labels: good.txt}}")
    problems = {source.name: str(source.problem or "") for source in find_sources(folder).sources}
    assert problems.pop("good") == ""
    for name, words in (
        ("leak", "leads out"),
        ("leaky", "leads out"),
        ("pipe", "a named pipe"),
        ("dir", "a folder"),
        ("up", "leads out"),
        ("abs", "leads out"),
    ):
        assert words in problems.pop(name)
    assert problems == {}


def test_two_videos_of_one_name_are_a_problem_until_one_is_named(tmp_path):
    fill(tmp_path, "town.mp4", "town.mkv", "town.txt")
    (source,) = find_sources(tmp_path).sources
    assert "one video of that name; found town.mkv, town.mp4" in str(source.problem)
    config(
        tmp_path,
        "videos: {town: {video: town.mp4, labels: town.txt}, other: {video: town.mkv, ignore: true}}",
    )
    (source,) = find_sources(tmp_path).sources
    assert (source.problem, source.video.name) == (None, "town.mp4")


@pytest.mark.parametrize("name", ["gone", "file.txt"])
def test_what_is_no_folder(tmp_path, name):
    fill(tmp_path, "file.txt")
    with pytest.raises(ConfigError, match="a folder that can be read"):
        find_sources(tmp_path / name)


def test_names_that_no_terminal_can_print(tmp_path):
    fill(tmp_path, "town\n.mp4")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")).write_text("x")
    names = [source.name for source in find_sources(tmp_path).sources]
    assert names == ["\\xff", "town\\n"]


def test_digests_follow_the_content_alone(tmp_path):
    (source,) = find_sources(fill(tmp_path, "town.mp4", "town.txt")).sources
    before = source_digests(source)
    os.utime(source.video, (1, 1))
    assert source_digests(source) == before
    (tmp_path / "town.txt").write_text("flap\n")
    after = source_digests(source)
    assert (after.video, after.labels == before.labels) == (before.video, False)


def test_labels_of_a_source_are_read_with_the_games_names(tmp_path):
    fill(tmp_path, "town.mp4", "town.txt")
    (source,) = resolve_sources(Footage(tmp_path, "flappy", "test"), SETTINGS, SampleSettings())
    labels = read_source_labels(source, tmp_path, get_game("flappy"))
    assert isinstance(labels, FrameLabels)
    assert labels.action.tolist() == [1, 0]


def test_a_video_without_labels_is_resolved_with_the_problem(tmp_path):
    fill(tmp_path, "town.mp4")
    (source,) = resolve_sources(Footage(tmp_path, "flappy", "test"), SETTINGS, SampleSettings())
    assert source.problem is not None
    assert "an action file" in source.problem.expected


# Settings


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (15, 15),
        (15.0, 15),
        ("15", 15),
        (29.97, "29.97"),
        ("30000/1001", "30000/1001"),
        ("59.94/2", "29.97"),
        (0.5, "0.5"),
    ],
)
def test_exact_numbers(given, kept):
    settings = SliceSettings(game="flappy", rate=given)
    assert settings.rate == kept
    assert settings.rate_exact == Fraction(str(kept))
    assert SliceSettings.model_validate(settings.model_dump()) == settings
    assert SliceSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("rate", [0, -1, "nan", "inf", "1e9", 1e-9, "1/0", "", "9" * 40, 1001])
def test_numbers_that_are_no_rate(rate):
    with pytest.raises(ValidationError):
        SliceSettings(game="flappy", rate=rate)
