"""Switching while one plays: models are shared, bounded, swapped when they are there, refused in words."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.connection import Connection

from tests.play_fakes import NUM_CONTEXT_FRAMES, Broken, Counter, Stepper, make_theatre, recorded_start
from tests.unit.test_play_server import enter, frame_where, frames, hear, play_at, say
from worldgen_core.errors import ConfigError
from worldgen_core.games.flappy import GAME
from worldgen_core.play.choices import Choice
from worldgen_core.play.loading import Shared
from worldgen_core.play.protocol import HEADER, parse
from worldgen_core.play.repertoire import Key, Repertoire
from worldgen_core.play.serve import BackgroundServer
from worldgen_core.play.server import make_app
from worldgen_core.play.session import PlaySession
from worldgen_core.play.settings import ServerSettings
from worldgen_core.play.theatre import Theatre


@contextmanager
def served(theatre: Theatre) -> Iterator[str]:
    settings = ServerSettings(port=0)
    with BackgroundServer(make_app(theatre, settings), settings) as port:
        yield f"127.0.0.1:{port}"


def switch(socket: Connection, model: str, **changes: Any) -> None:
    say(
        socket,
        **{"type": "switch", "model": model, "device": "cpu", "backend": "eager", "num_steps": {}} | changes,
    )


def blue(data: bytes) -> int:
    return data[HEADER.size + 2]


def test_the_old_model_plays_until_the_new_one_is_there_and_then_the_same_game_goes_on() -> None:
    gate = threading.Event()
    theatre = make_theatre(gate=gate)
    with served(theatre) as address, play_at(address) as socket:
        hello = enter(socket)
        assert [model["id"] for model in hello["choices"]["models"]] == ["a/counter", "a/stepper", "a/broken"]
        assert hear(socket, "model")["model"]["num_steps"] == {}
        frame_where(socket, lambda header: header[8] > 5)
        switch(socket, "a/stepper", num_steps={"denoiser": 9})
        assert hear(socket, "loading")["name"] == "stepper"
        before = frame_where(socket, lambda header: header[8] > 10)
        assert blue(before) < 100, "the old model still plays"
        gate.set()
        about = hear(socket, "model")["model"]
        assert (about["id"], about["num_steps"], about["context"]) == ("a/stepper", {"denoiser": 9}, 5)
        after = frames(socket, 5)[-1]
        assert blue(after) == 109
        assert HEADER.unpack_from(after)[8] > HEADER.unpack_from(before)[8], "the same life goes on"
    wait_until_given_back(theatre)


def test_what_cannot_be_had_is_refused_in_words_and_the_old_model_plays_on() -> None:
    theatre = make_theatre()
    with served(theatre) as address, play_at(address) as socket:
        enter(socket)
        for model, changes, words in (
            ("a/broken", {}, "no such kernel"),
            ("../secret", {}, "not in it"),
            ("a/counter", {"device": "cuda"}, "not in it"),
            ("a/counter", {"num_steps": {"denoiser": 2}}, "steps of"),
        ):
            switch(socket, model, **changes)
            assert words in hear(socket, "refused")["text"]
        frame_where(socket, lambda header: header[8] > 5)
    wait_until_given_back(theatre)


def test_a_switch_that_wants_too_much_is_no_message() -> None:
    whole = {
        "type": "switch",
        "model": "m",
        "device": "cpu",
        "backend": "eager",
        "num_steps": {"denoiser": 1},
    }
    parse(json.dumps(whole))
    for changes in ({"num_steps": {"a": 10_000}}, {"model": "m" * 500}, {"num_steps": {"a": 1.5}}):
        with pytest.raises(ConfigError, match="message"):
            parse(json.dumps(whole | changes))


def test_who_leaves_while_a_model_loads_gives_it_back() -> None:
    gate = threading.Event()
    theatre = make_theatre(gate=gate)
    with served(theatre) as address:
        with play_at(address) as socket:
            enter(socket)
            switch(socket, "a/stepper")
            hear(socket, "loading")
        gate.set()
        wait_until_given_back(theatre, num_loaded=2)


def wait_until_given_back(theatre: Theatre, num_loaded: int = 1) -> None:
    """Every model but none is free to go."""
    end = time.monotonic() + 5
    entries = theatre.repertoire._entries  # pyright: ignore[reportPrivateUsage]
    while len(entries) < num_loaded or any(entry.num_players for entry in entries.values()):
        assert time.monotonic() < end, entries
        time.sleep(0.02)


def key(name: str) -> Key:
    return Key(name, "cpu", "eager")


def test_models_in_memory_are_bounded_and_idle_ones_go_first() -> None:
    loads: list[str] = []

    def load(wanted: Key) -> Shared:
        loads.append(wanted.model)
        return Shared(Counter(), wanted.backend)

    repertoire = Repertoire(load, limit=2)
    for name in ("a", "b", "b"):
        repertoire.borrow(key(name))
    with pytest.raises(ConfigError, match="being played"):
        repertoire.borrow(key("c"))
    repertoire.give_back(key("b"))
    with pytest.raises(ConfigError, match="being played"):
        repertoire.borrow(key("c"))
    repertoire.give_back(key("b"))
    repertoire.borrow(key("c"))
    assert [one.model for one in repertoire.loaded] == ["a", "c"]
    assert loads == ["a", "b", "c"]


def test_a_model_wanted_twice_at_once_is_loaded_once_and_a_failed_load_holds_nothing() -> None:
    gate, loads = threading.Event(), [0]

    def load(wanted: Key) -> Shared:
        gate.wait(5)
        loads[0] += 1
        if wanted.model == "bad":
            raise ConfigError("model", expected="one", found="none", next_step="build")
        return Shared(Counter(), wanted.backend)

    repertoire = Repertoire(load, limit=2)
    threads = [threading.Thread(target=repertoire.borrow, args=(key("a"),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert loads == [1]
    for _ in range(3):
        with pytest.raises(ConfigError, match="found none"):
            repertoire.borrow(key("bad"))
    repertoire.borrow(key("b"))


def test_a_model_that_sees_more_frames_goes_on_or_begins_the_same_life_again() -> None:
    session = PlaySession(Counter(), GAME, [recorded_start(num_frames=16)], seed=3)
    fresh = session.start
    moment = session.change_model(Stepper(), [recorded_start(num_frames=16)])
    assert (moment.frame_number, session.start.life.seed) == (0, fresh.life.seed)  # pyright: ignore[reportOptionalMemberAccess]
    assert len(session.context) == 5
    for _ in range(9):
        session.step(1)
    before = session.moment
    assert session.change_model(Counter(), [recorded_start(num_frames=16)]) is before
    assert len(session.context) == NUM_CONTEXT_FRAMES
    assert session.step(0).frame_number == before.frame_number + 1


def test_a_model_that_cannot_begin_leaves_the_session_as_it_was() -> None:
    class Refuser(Counter):
        num_context_frames = 10

        def reset(self, *_: Any, **__: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise RuntimeError("no memory")

    session = PlaySession(Counter(), GAME, [recorded_start()], seed=3)
    session.step(1)
    with pytest.raises(RuntimeError):
        session.change_model(Refuser(), [])
    assert session.step(1).frame_number == 2
    session.begin(seed=1, start_id="held-out")


def test_players_of_one_model_share_it_and_steps_are_the_players_own() -> None:
    shared = Shared(Stepper(num_steps=2), "eager")
    seats = [shared.seat({}), shared.seat({"denoiser": 7})]
    assert [seat.num_steps for seat in seats] == [{"denoiser": 2}, {"denoiser": 7}]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ConfigError, match="draws a frame at once"):
        Shared(Counter(), "eager").seat({"denoiser": 2})
    theatre = make_theatre()
    with pytest.raises(RuntimeError, match="kernel"):
        theatre.cast(Choice("a/broken", "cpu", "eager"))
    wait_until_given_back(theatre)
    assert isinstance(Broken().twin(), Broken)
