"""What the doctor says of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from worldgen_core.video.samples import make_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good video, and one that is none."""
    sample = tmp_path_factory.mktemp("doctor") / "videos"
    make_sample(sample, num_videos=1, num_frames=1800)
    (sample / "broken.mp4").write_bytes(b"\0" * 5000)
    (sample / "broken.txt").write_text("none\n" * 10)
    return sample


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_json_page_and_status(folder: Path, tmp_path: Path) -> None:
    before = names(folder)
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["doctor", str(folder), "--json", "--html", str(page)])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    broken, good = report["videos"]
    assert (broken["name"], broken["episodes"], broken["frames_decoded"]) == ("broken", 0, 0)
    assert len(broken["problems"]) == 1
    assert (good["frames_decoded"], good["actions"], good["problems"]) == (1800, 1800, [])
    assert report["episodes"] == good["episodes"] == 1
    assert sum(good["action_counts"].values()) == good["pictures"] == 900
    text = page.read_text()
    assert "data:image/png;base64," in text
    assert "town-1" in text
    assert "http" not in text
    assert names(folder) == before


def test_a_good_folder_has_status_0(folder: Path, tmp_path: Path) -> None:
    for name in ("town-1.mp4", "town-1.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    result = CliRunner().invoke(app, ["doctor", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "1 episode\n" in result.output


def test_a_problem_names_its_video_once(folder: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", str(folder)])
    assert "broken.mp4: expected" in result.output
    assert "broken: broken" not in result.output
