"""Stage capture: exact counts, resume, damage, splits; the same bytes whatever happened on the way."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from storage.clips import ClipReader
from storage.records import Split
from tests.agent_policies import flapping_policy, save_policies
from worldgen_core.agents.capture import capture
from worldgen_core.agents.episodes import replay
from worldgen_core.agents.policy import save_policy
from worldgen_core.agents.settings import CaptureSettings
from worldgen_core.errors import ConfigError
from worldgen_core.progress import EventList, ProgressEvent, silent

SETTINGS = CaptureSettings(game="flappy", num_episodes=5, episode_length=60, validation_share=0.2)


@pytest.fixture(scope="module")
def policies(tmp_path_factory) -> Path:
    return save_policies(tmp_path_factory.mktemp("policies"))


@pytest.fixture(scope="module")
def undisturbed(policies, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    capture(SETTINGS, policies, out=folder / "out", resume=folder / "resume", progress=silent)
    return digests(folder / "out")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


class Interrupted(EventList):
    """Stops the run as Ctrl-C does, after some events."""

    def __init__(self, num_events: int) -> None:
        super().__init__()
        self._num_events = num_events

    def __call__(self, event: ProgressEvent) -> None:
        super().__call__(event)
        if len(self.events) == self._num_events:
            raise KeyboardInterrupt


def test_two_interruptions_end_with_the_same_bytes(policies, undisturbed, tmp_path):
    out, resume = tmp_path / "out", tmp_path / "resume"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            capture(SETTINGS, policies, out=out, resume=resume, progress=Interrupted(2))
    assert len(list(resume.glob("*.npz"))) == 4
    events = EventList()
    outcome = capture(SETTINGS, policies, out=out, resume=resume, progress=events)
    assert outcome.notes["episodes_kept_from_before"] == 4
    assert [event.done for event in events.events] == [5]
    assert digests(out) == undisturbed


def test_damaged_and_half_written_units_are_played_again(policies, undisturbed, tmp_path):
    out, resume = tmp_path / "out", tmp_path / "resume"
    with pytest.raises(KeyboardInterrupt):
        capture(SETTINGS, policies, out=out, resume=resume, progress=Interrupted(3))
    one, other, _ = sorted(resume.glob("*.npz"))
    one.write_bytes(one.read_bytes()[:-200])
    other.rename(other.with_name(f".{other.name}.123.partial"))
    capture(SETTINGS, policies, out=out, resume=resume, progress=silent)
    assert digests(out) == undisturbed


def test_every_episode_can_be_simulated_again(policies, tmp_path):
    capture(SETTINGS, policies, out=tmp_path / "out", resume=tmp_path / "resume", progress=silent)
    reader = ClipReader(tmp_path / "out")
    expected: tuple[tuple[Split, int], ...] = (("train", 4), ("validation", 1))
    for split, num_episodes in expected:
        episodes = reader.episodes(split)
        assert len(episodes) == num_episodes
        for info in episodes:
            clip = reader.read(info.episode_id, 0, info.num_frames)
            again = replay(info.source, clip.action)
            np.testing.assert_array_equal(again.frames, clip.frames)
            np.testing.assert_array_equal(again.terminated, clip.terminated)


def test_the_next_round_plays_other_games(policies, undisturbed, tmp_path):
    later = SETTINGS.model_copy(update={"round": 1})
    capture(later, policies, out=tmp_path / "out", resume=tmp_path / "resume", progress=silent)
    reader = ClipReader(tmp_path / "out")
    infos = [*reader.episodes("train"), *reader.episodes("validation")]
    assert all("-r001-" in info.episode_id for info in infos)
    assert digests(tmp_path / "out").keys() == undisturbed.keys()
    assert digests(tmp_path / "out") != undisturbed


def test_strict_mode_records_exactly_so_many_whole_lives(policies, tmp_path):
    settings = SETTINGS.model_copy(update={"mode": "strict", "episode_length": 170})
    outcome = capture(settings, policies, out=tmp_path / "out", resume=tmp_path / "resume", progress=silent)
    assert outcome.metrics["num_frames"] == 5 * 170
    assert outcome.metrics["num_deaths"] == 0
    assert outcome.metrics["share_by_player"] == {"best": 1.0}
    reader = ClipReader(tmp_path / "out")
    for info in [*reader.episodes("train"), *reader.episodes("validation")]:
        assert info.num_frames == 170
        assert len(json.loads(info.source)["lives"]) == 1


def test_strict_mode_says_how_many_games_were_survived(tmp_path):
    save_policy(tmp_path, flapping_policy(), {})
    settings = SETTINGS.model_copy(update={"mode": "strict", "episode_length": 170, "seed_limit": 2})
    with pytest.raises(ConfigError, match="5 survived games within 10 tries; found 0"):
        capture(settings, tmp_path, out=tmp_path / "out", resume=tmp_path / "resume", progress=silent)


def test_npz_shards_are_written_on_request(policies, tmp_path):
    settings = SETTINGS.model_copy(update={"shard_format": "npz"})
    capture(settings, policies, out=tmp_path / "out", resume=tmp_path / "resume", progress=silent)
    assert ClipReader(tmp_path / "out").info.format == "npz"


def test_metrics_say_who_played(policies, tmp_path):
    outcome = capture(SETTINGS, policies, out=tmp_path / "out", resume=tmp_path / "resume", progress=silent)
    assert outcome.metrics["num_episodes"] == 5
    assert outcome.metrics["num_frames"] == 300
    assert sum(outcome.metrics["share_by_player"].values()) == pytest.approx(1, abs=1e-3)
    assert (tmp_path / "out" / outcome.figures[0]).read_bytes().startswith(b"\x89PNG")
