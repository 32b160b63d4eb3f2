"""The server: a real one on a port of its own, talked to by a WebSocket client."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.play_fakes import make_theatre
from worldgen_core.errors import ConfigError
from worldgen_core.play.protocol import HEADER, parse
from worldgen_core.play.serve import BackgroundServer, listen
from worldgen_core.play.server import make_app
from worldgen_core.play.settings import ServerSettings


@contextmanager
def served(**changes: Any) -> Iterator[str]:
    """The address of a server with these settings."""
    settings = ServerSettings(port=0, **changes)
    with BackgroundServer(make_app(make_theatre(), settings), settings) as port:
        yield f"127.0.0.1:{port}"


def play_at(address: str, *, origin: str | None = None, query: str = "") -> Connection:
    return connect(f"ws://{address}/play{query}", origin=origin or f"http://{address}", close_timeout=2)  # pyright: ignore[reportArgumentType]  # NewType of str


def hear(socket: Connection, kind: str) -> dict[str, Any]:
    """The next JSON message of a kind."""
    for _ in range(400):
        data = socket.recv(timeout=10)
        if isinstance(data, str) and json.loads(data)["type"] == kind:
            return json.loads(data)
        acknowledge(socket, data)
    raise AssertionError(f"no {kind}")


def enter(socket: Connection) -> dict[str, Any]:
    """Be greeted and say something: nobody gets a session before."""
    hello = hear(socket, "hello")
    say(socket, type="shown", serial=0)
    return hello


def acknowledge(socket: Connection, data: str | bytes) -> None:
    if isinstance(data, bytes):
        say(socket, type="shown", serial=HEADER.unpack_from(data)[9])


def say(socket: Connection, **message: Any) -> None:
    socket.send(json.dumps(message))


def frames(socket: Connection, number: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < number:
        data = socket.recv(timeout=10)
        acknowledge(socket, data)
        if isinstance(data, bytes):
            found.append(data)
    return found


def frame_where(socket: Connection, claim: Callable[[tuple[Any, ...]], object]) -> bytes:
    """The first frame whose header fits."""
    for _ in range(100):
        [data] = frames(socket, 1)
        if claim(HEADER.unpack_from(data)):
            return data
    raise AssertionError("no such frame")


def close_code(socket: Connection) -> int:
    with contextlib.suppress(ConnectionClosed):
        for _ in range(10_000):
            socket.recv(timeout=10)
    assert socket.close_code is not None
    return socket.close_code


def test_keys_reach_the_model_and_frames_come_at_the_games_rate() -> None:
    with served() as address, play_at(address) as socket:
        began = time.monotonic()
        hello = enter(socket)
        assert hello["keymap"]["Space"] == 1
        assert hear(socket, "model")["starts"][0]["id"] == "held-out"
        say(socket, type="hold", action=1, press=7)
        headers = [HEADER.unpack_from(data) for data in frames(socket, 30)]
        assert headers[-1][8] <= (time.monotonic() - began + 0.3) * 30, "never faster than 30 frames/s"
        assert headers[-1][10] == 7
        assert sum(header[7] for header in headers) == 1, "a held tap is one flap"


def test_views_context_pause_and_step() -> None:
    with served() as address, play_at(address) as socket:
        enter(socket)
        say(socket, type="do", what="pause")
        say(socket, type="show", view="both", context=True, same_chance=True)
        data = frame_where(socket, lambda header: header[2] & 4 and header[6] == 3)
        _, _, _, width, height, pictures, num_context, _, number, *_ = HEADER.unpack_from(data)
        assert (pictures, num_context) == (3, 3)
        small = ((width + 1) // 2) * ((height + 1) // 2) * 3
        assert len(data) == HEADER.size + 3 + 2 * width * height * 3 + 3 * small
        say(socket, type="do", what="step")
        data = frame_where(socket, lambda header: header[8] > number)
        assert HEADER.unpack_from(data)[8] == number + 1


def test_a_paused_picture_is_sent_again_ten_times_a_second_at_most_and_as_asked_last() -> None:
    with served() as address, play_at(address) as socket:
        enter(socket)
        say(socket, type="do", what="pause")
        frame_where(socket, lambda header: header[2] & 4)
        began, num_frames = time.monotonic(), 0
        views = itertools.cycle(("game", "both", "dream"))
        while time.monotonic() < began + 1:
            say(socket, type="show", view=next(views), context=False, same_chance=True)
            with contextlib.suppress(TimeoutError):
                data = socket.recv(timeout=0.02)
                acknowledge(socket, data)
                num_frames += isinstance(data, bytes)
        assert 2 <= num_frames <= 12
        say(socket, type="show", view="both", context=False, same_chance=True)
        frame_where(socket, lambda header: header[5] == 3)


def test_a_recording_is_downloaded() -> None:
    with served() as address, play_at(address) as socket:
        enter(socket)
        say(socket, type="do", what="record")
        frames(socket, 8)
        say(socket, type="do", what="stop")
        note = hear(socket, "recorded")
        for file in note["files"]:
            reply = httpx.get(f"http://{address}/{file['url']}")
            assert reply.status_code == 200
            if file["name"].endswith(".txt"):
                assert len(reply.text.split()) == note["frames"]
        assert httpx.get(f"http://{address}/recordings/nothing/x.mp4").status_code == 404


def test_a_slow_reader_gets_no_more_than_a_few_frames() -> None:
    with served(max_frames_in_flight=3) as address, play_at(address) as socket:
        enter(socket)
        serials: list[int] = []
        with contextlib.suppress(TimeoutError):
            for _ in range(100):
                data = socket.recv(timeout=0.5)
                serials += [HEADER.unpack_from(data)[9]] if isinstance(data, bytes) else []
        assert serials == [1, 2, 3]


def test_strangers_stay_out() -> None:
    token = "x" * 20
    with served() as address:
        for origin in ("http://evil.example", "http://[x", "null"):
            with pytest.raises(InvalidStatus, match="403"):
                play_at(address, origin=origin)
        assert httpx.get(f"http://{address}/", headers={"Host": "evil.example"}).status_code == 403
        assert httpx.get(f"http://{address}/page/..%2Fserver.py").status_code == 404
        page = httpx.get(f"http://{address}/")
        assert "default-src 'self'" in page.headers["content-security-policy"]
    with served(token=token) as address:
        assert httpx.get(f"http://{address}/").status_code == 403
        assert httpx.get(f"http://{address}/?token={'y' * 20}").status_code == 403
        with pytest.raises(InvalidStatus, match="403"):
            play_at(address, origin="http://evil.example", query=f"?token={token}")
        for query in ("", f"?token={'y' * 20}"):
            with play_at(address, query=query) as socket:
                assert close_code(socket) == 1008, "its own page is told why"
        with httpx.Client() as client:
            assert client.get(f"http://{address}/?token={token}").status_code == 200
            assert client.get(f"http://{address}/page/play.js").status_code == 200, "by the cookie"
        with play_at(address, query=f"?token={token}") as socket:
            hear(socket, "hello")


@pytest.mark.parametrize(
    ("text", "code"),
    [("x" * 5000, 1009), ("{}", 4002), ('{"type":"hold","action":9,"press":1}', 4002), ("\x00", 4002)],
)
def test_bad_messages_end_the_session_and_nothing_else(text: str, code: int) -> None:
    with served() as address:
        with play_at(address) as socket:
            hear(socket, "hello")
            socket.send(text)
            assert close_code(socket) == code
        with play_at(address) as socket:
            hear(socket, "hello")


def test_too_many_messages_and_too_long_a_rest_end_a_session() -> None:
    with served(message_burst=5, messages_per_s=1.0, idle_s=0.5) as address:
        with play_at(address) as socket:
            for _ in range(10):
                say(socket, type="hold", action=0, press=0)
            assert close_code(socket) == 4001
        with play_at(address) as socket:
            assert close_code(socket) == 4000


def test_who_finds_no_place_waits_and_then_plays() -> None:
    with served(max_players=1, max_waiting=1) as address:
        first = play_at(address)
        hear(first, "hello")
        with play_at(address) as second:
            assert hear(second, "wait")["ahead"] == 0
            with play_at(address) as third:
                assert close_code(third) == 1013
            threading.Timer(0.2, first.close).start()
            hear(second, "hello")


def test_a_place_is_free_at_once_whatever_was_asked_last() -> None:
    with served(max_players=1, max_waiting=0) as address:
        for _ in range(10):
            with play_at(address) as socket:
                enter(socket)
                say(socket, type="do", what="pause")
                frame_where(socket, lambda header: header[2] & 4)
                for _ in range(3):
                    say(socket, type="speed", factor=1.0)
                socket.send("{}")
                assert close_code(socket) == 4002
            time.sleep(0.05)


def test_who_talks_while_waiting_is_heard_and_who_shouts_is_sent_away() -> None:
    with served(max_players=1, message_burst=10, messages_per_s=1.0) as address:
        first = play_at(address)
        hear(first, "hello")
        with play_at(address) as second, play_at(address) as third:
            hear(second, "wait")
            hear(third, "wait")
            for _ in range(3):
                say(second, type="hold", action=1, press=1)
                time.sleep(0.1)
            assert second.ping().wait(timeout=5), "a ping is answered"
            for _ in range(20):
                say(third, type="hold", action=1, press=1)
            assert close_code(third) == 4001
            with play_at(address) as fourth:
                assert hear(fourth, "wait")["ahead"] == 1, "who is gone is out of the line at once"
            first.close()
            enter(second)
            hear(second, "model")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"type":"speed","factor":NaN}', '{"type":"begin","seed":-1,"start":null}']
)
def test_what_is_no_message_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="message"):
        parse(text)


@pytest.mark.parametrize("host", ["8.8.8.8", "a..b", "ä..b", "::2"])
def test_an_address_that_is_not_this_machines_is_named(host: str) -> None:
    with pytest.raises(ConfigError, match=f"--host {host}") as caught:
        listen(ServerSettings(host=host, port=0, token="x" * 20))
    assert "--host" in caught.value.next_step
    assert "port" not in caught.value.expected


def test_a_port_that_is_taken_is_named() -> None:
    with listen(ServerSettings(port=0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}") as caught:
            listen(ServerSettings(port=port))
    assert "--port" in caught.value.next_step
