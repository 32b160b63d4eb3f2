"""Recording: alignment, several lives an episode, exact repetition from source and actions."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from storage.records import Episode
from tests.agent_policies import flapping_policy, rule_policy
from worldgen_core.agents.episodes import make_episode, record, replay
from worldgen_core.agents.players import Cast, Relay
from worldgen_core.agents.settings import Mixture
from worldgen_core.errors import AlignmentError
from worldgen_core.games.flappy import GAME
from worldgen_core.games.flappy_reader import read_state
from worldgen_core.games.flappy_simulator import FlappySimulator

CAST = Cast(GAME, rule_policy(), [flapping_policy("level-1")])


def episode(seed: int, num_frames: int, mixture: Mixture | None = None) -> Episode:
    relay = Relay(CAST, mixture or Mixture(), np.random.default_rng(seed))
    recording = record(GAME, relay, range(seed * 1000, seed * 1000 + num_frames), num_frames)
    facts = {"players": relay.turns}
    return make_episode(recording, episode_id=f"e{seed}", split="train", game=GAME, facts=facts)


@pytest.fixture(scope="module")
def random_episode() -> Episode:
    only_random = Mixture(best=0, weaker=0, small_noise=0, large_noise=0, rule=0, holds=0, random=1)
    return episode(3, 400, only_random)


def digests(frames: np.ndarray) -> list[str]:
    return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]


def test_source_and_actions_repeat_every_frame(random_episode):
    again = replay(random_episode.source, random_episode.action)
    assert digests(again.frames) == digests(random_episode.frames)
    np.testing.assert_array_equal(again.reward, random_episode.reward)
    np.testing.assert_array_equal(again.terminated, random_episode.terminated)


def test_another_action_shows_in_the_next_frame_and_no_earlier(random_episode):
    action = random_episode.action.copy()
    changed = len(action) - 3
    action[changed] = 1 - action[changed]
    again = replay(random_episode.source, action)
    same = [a == b for a, b in zip(digests(again.frames), digests(random_episode.frames), strict=True)]
    assert same.index(False) == changed + 1


def test_actions_of_another_episode_are_noticed(random_episode):
    with pytest.raises(AlignmentError, match="own actions"):
        replay(random_episode.source, np.zeros_like(random_episode.action))


def test_the_birds_acceleration_follows_the_actions_by_one_frame():
    """A flap at t changes the speed between frames t and t + 1; measured on pixels alone."""
    tapping = _Tapping()
    recording = record(GAME, tapping, iter(range(100)), 500)
    height = np.array([read_state(frame).height for frame in recording.frames])
    bend = np.full(len(height), np.nan)
    bend[1:-1] = height[2:] - 2 * height[1:-1] + height[:-2]
    for start, _ in recording.lives:
        bend[max(start - 2, 0) : start + 1] = np.nan
    # bend[t] compares the ways into and out of frame t; named after the frame it leads to, t + 1.
    correlations = {lag: _correlation(recording.action, np.roll(bend, 1), lag) for lag in range(-3, 5)}
    assert max(correlations, key=lambda lag: correlations[lag]) == 1
    assert correlations[1] > 0.5
    assert all(value < 0.25 for lag, value in correlations.items() if lag != 1)


def _correlation(action: np.ndarray, bend: np.ndarray, lag: int) -> float:
    """How well upward bends at t + lag go with flaps at t."""
    later = np.roll(bend, -lag)
    known = np.isfinite(later)
    known[:5] = known[-5:] = False
    return float(-np.corrcoef(action[known], later[known])[0, 1])


class _Tapping:
    def __init__(self) -> None:
        self._rng = np.random.default_rng(4)

    def start_life(self) -> None:
        pass

    def act(self, frame_index, state) -> int:
        return int(self._rng.random() < 0.09)


def test_lives_begin_after_crash_frames(random_episode):
    lives = json.loads(random_episode.source)["lives"]
    crashes = np.flatnonzero(random_episode.terminated)
    assert len(crashes) > 3
    assert [start for start, _ in lives] == [0, *(crashes + 1).tolist()]
    for start, seed in lives:
        np.testing.assert_array_equal(random_episode.frames[start], FlappySimulator(seed).frame)


def test_crash_frames_are_shown_and_their_actions_do_nothing(random_episode):
    for crash in np.flatnonzero(random_episode.terminated):
        assert random_episode.action[crash] == 0
        assert random_episode.reward[crash] == 0
        assert random_episode.reward[crash - 1] == -1


def test_only_a_living_last_frame_is_truncated(random_episode):
    truncated = random_episode.truncated
    assert truncated[-1] != random_episode.terminated[-1]
    assert not truncated[:-1].any()


def test_a_crash_on_the_last_frame_ends_the_recording():
    recording = record(GAME, _Idle(), iter([0]), 32)
    assert recording.terminated.nonzero()[0].tolist() == [31]
    assert recording.lives == ((0, 0),)


class _Idle:
    def start_life(self) -> None:
        pass

    def act(self, frame_index, state) -> int:
        return 0


def test_a_passed_pipe_is_paid_on_the_way_to_its_frame():
    relay = Relay(
        CAST, Mixture(best=1, weaker=0, small_noise=0, large_noise=0, rule=0, holds=0, random=0), _rng()
    )
    reward = record(GAME, relay, [5], 120).reward
    assert np.flatnonzero(reward == 1).tolist() == [60, 96]


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_relay_repeats_itself_and_depends_on_its_generator():
    assert episode(1, 150).source == episode(1, 150).source
    assert digests(episode(1, 150).frames) == digests(episode(1, 150).frames)
    assert episode(1, 150).action.tolist() != episode(2, 150).action.tolist()


def test_everybody_takes_turns():
    relay = Relay(CAST, Mixture(best=0, rule=0), _rng())
    record(GAME, relay, iter(range(1000)), 4000)
    assert {"weaker", "small_noise", "large_noise", "holds", "random"} <= {name for _, name in relay.turns}


def test_a_skilled_player_begins_every_life():
    relay = Relay(CAST, Mixture(), _rng())
    lives = record(GAME, relay, iter(range(1000)), 1000).lives
    names = dict(relay.turns)
    assert len(lives) > 3
    assert all(names[start] in ("best", "rule") for start, _ in lives)


def test_in_a_blind_life_one_random_player_keeps_the_controls():
    relay = Relay(CAST, Mixture(random=0), _rng(), blind_lives=0.5)
    recording = record(GAME, relay, iter(range(1000)), 2000)
    names = dict(relay.turns)
    starts = [start for start, _ in recording.lives]
    blind = [start for start in starts if names[start] == "random"]
    assert 0.3 < len(blind) / len(starts) < 0.7
    ends = dict(zip(starts, [*starts[1:], 2000], strict=True))
    assert not any(blind_start < turn < ends[blind_start] for blind_start in blind for turn in names)
    held = [set(recording.action[start : ends[start] - 1].tolist()) for start in blind]
    assert {0} in held
    assert {1} in held


def test_only_one_player_may_play():
    only = {name: float(name == "holds") for name in Mixture.model_fields}
    relay = Relay(CAST, Mixture(**only), _rng())
    record(GAME, relay, iter(range(100)), 600)
    assert {"holds"} < {name for _, name in relay.turns} <= {"holds", "best", "rule"}


def test_a_mixture_without_players_is_refused():
    with pytest.raises(ValueError, match="at least one share"):
        Mixture(best=0, weaker=0, small_noise=0, large_noise=0, rule=0, holds=0, random=0)
