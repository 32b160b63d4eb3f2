"""Sessions: keys, lives, starts, chance, time, recordings, the environment."""

from __future__ import annotations

from threading import Thread

import gymnasium
import numpy as np
import pytest
from jaxtyping import Int64, UInt8
from torch import Tensor

from tests.play_fakes import NUM_CONTEXT_FRAMES, Counter, recorded_start
from worldgen_core.errors import ConfigError
from worldgen_core.games.flappy import GAME
from worldgen_core.games.pokemon import GAME as POKEMON
from worldgen_core.models.interface import Prediction
from worldgen_core.play.environment import DreamEnv
from worldgen_core.play.keys import Keys
from worldgen_core.play.pace import Meter, Pacer, TokenBucket
from worldgen_core.play.recording import Recorder
from worldgen_core.play.session import PlaySession


def session_of(model: Counter | None = None) -> PlaySession:
    return PlaySession(model or Counter(), GAME, [recorded_start()], seed=3)


def test_a_tap_shorter_than_a_frame_counts_once_and_a_held_tap_does_not_repeat() -> None:
    session = session_of()
    session.hold(1, press=1)
    session.hold(0, press=1)
    assert [session.tick().action for _ in range(3)] == [1, 0, 0]
    session.hold(1, press=2)
    moments = [session.tick() for _ in range(3)]
    assert [moment.action for moment in moments] == [1, 0, 0]
    assert moments[0].press == 2


def test_a_press_during_a_step_belongs_to_the_next_frame() -> None:
    class Busy(Counter):
        def step(
            self, action: Int64[Tensor, " b"], *, truth: UInt8[Tensor, "b h w c"] | None = None
        ) -> Prediction:
            if self.frame == 0:
                session.hold(1, press=9)
                session.hold(0, press=9)
            return super().step(action, truth=truth)

    session = session_of(Busy())
    moments = [session.tick() for _ in range(3)]
    assert [(moment.action, moment.press) for moment in moments] == [(0, 0), (1, 9), (0, 9)]


def test_no_press_is_lost_between_two_threads() -> None:
    keys, taken = Keys(frozenset({1})), 0

    def press() -> None:
        for number in range(1, 20_001):
            keys.hold(1, number)

    presser = Thread(target=press)
    presser.start()
    newest = 0
    while presser.is_alive() or newest < 20_000:
        action, number = keys.take()
        assert (action == 1) == (number > newest), "a press is taken with its number, once"
        taken, newest = taken + action, number
    presser.join()
    assert taken > 0


def test_a_held_key_repeats_and_the_newest_wins_where_keys_are_held() -> None:
    class Walker(Counter):
        num_actions = 8

    session = PlaySession(Walker(), POKEMON, [recorded_start()])
    session.hold(3)
    session.hold(1)
    assert [session.tick().action for _ in range(2)] == [1, 1]
    session.hold(0)
    assert session.tick().action == 0


def test_the_true_game_gets_the_same_keys_from_the_same_frame() -> None:
    session = session_of()
    life = session.start.life
    assert life is not None
    twin = GAME.make_simulator(life.seed)
    for action in life.actions:
        twin.advance(action)
    assert np.array_equal(twin.frame, session.moment.dream)
    for turn in range(12):
        session.hold(1 if turn % 6 == 0 else 0)
        moment = session.tick()
        twin.advance(moment.action)
        assert moment.game is not None
        assert np.array_equal(twin.frame, moment.game)


def test_a_dream_alone_is_told_nothing_of_the_game() -> None:
    model = Counter()
    session = session_of(model)
    session.tick()
    session.view = "both"
    session.tick()
    session.takes_chance_from_game = False
    session.tick()
    assert model.truths == [False, True, False]


def test_a_life_ends_and_a_later_press_begins_the_next() -> None:
    session = session_of(Counter(life=2))
    session.tick()
    assert session.tick().dream_over
    session.hold(1)
    assert session.tick().frame_number == 2, "a press meant for the last life begins no new one"
    session.hold(0)
    for _ in range(12):
        session.tick()
    session.hold(1)
    first = session.tick()
    assert (first.frame_number, first.dream_over) == (0, False)


def test_the_same_seed_is_the_same_life_and_starts_are_checked() -> None:
    session = session_of()
    first = session.moment.dream
    assert np.array_equal(session.begin(seed=3).dream, first)
    assert session.begin(seed=0, start_id="held-out").dream[0, 0, 0] == 7
    assert not session.has_game
    with pytest.raises(ConfigError, match="no such start"):
        session.begin(seed=0, start_id="elsewhere")
    with pytest.raises(ConfigError, match="held-out frames"):
        PlaySession(Counter(), POKEMON, [])


def test_the_context_is_what_the_model_goes_on_from() -> None:
    session = session_of()
    session.hold(1)
    dream = session.tick().dream
    frames, actions = zip(*session.context, strict=True)
    assert len(frames) == NUM_CONTEXT_FRAMES
    assert np.array_equal(frames[-1], dream)
    assert actions[-1] == 1


def test_the_pacer_keeps_the_rate_and_makes_up_for_nothing() -> None:
    pacer = Pacer(10.0)
    pacer.begin_frame(0.0)
    assert pacer.wait_s(0.04) == pytest.approx(0.06)
    pacer.begin_frame(0.12)
    assert pacer.wait_s(0.12) == pytest.approx(0.08), "a little late is caught up within the next period"
    pacer.begin_frame(5.0)
    assert pacer.wait_s(5.0) == pytest.approx(0.1), "seconds late are lost"


def test_the_meter_measures() -> None:
    meter = Meter()
    for turn in range(11):
        meter.frame(turn * 0.05, 4.0 if turn < 10 else 40.0)
    rates = meter.rates()
    assert rates.frames_per_s == pytest.approx(20.0)
    assert rates.step_p50_ms == 4.0
    assert 4.0 < rates.step_p95_ms <= 40.0


def test_the_bucket_allows_bursts_and_then_the_rate() -> None:
    bucket = TokenBucket(10.0, 3, 0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(0.1)
    assert not bucket.take(0.1)


def test_a_recording_has_an_action_a_frame_aligned_with_the_project() -> None:
    session = session_of()
    recorder = Recorder("dream", session.moment, max_frames=5)
    for turn in range(6):
        session.hold(1 if turn == 1 else 0)
        recorder.add(session.tick())
    assert recorder.is_full
    recording = recorder.finish()
    names = recording.action_file(GAME.action_names).decode().split()
    assert names == ["idle", "flap", "idle", "idle", "idle"]
    assert [int(frame[0, 0, 0]) for frame in list(recording.frames())[1:]] == [0, 1, 1, 1], (
        "seen one frame later"
    )
    assert recording.mp4(30.0)[4:8] == b"ftyp"
    assert recording.gif(30.0)[:4] == b"GIF8"


def test_the_environment_is_gymnasiums() -> None:
    model = Counter(life=4)
    name = "worldgen_core.play.registration:worldgen/Dream-v0"
    environment = gymnasium.make(name, model=model, game="flappy", survival_reward=1.0)
    frame, _ = environment.reset(seed=5)
    assert environment.observation_space.contains(frame)
    results = [environment.step(environment.action_space.sample()) for _ in range(4)]
    assert [result[2] for result in results] == [False, False, False, True]
    assert [result[1] for result in results] == [1.0, 1.0, 1.0, 0.0]
    assert isinstance(environment.unwrapped, DreamEnv)
    environment.close()
