"""Connections of those who keep a server waiting: they end, and what they held is free again."""

from __future__ import annotations

import json
import socket as sockets
import threading
import time
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.unit.test_play_server import enter, hear, play_at, say, served
from worldgen_core.play import connections


def origin(address: str) -> Origin:
    return Origin(f"http://{address}")


def dial(address: str, **options: int) -> sockets.socket:
    """A bare connection."""
    host, port = address.split(":")
    line = sockets.socket()
    for name, value in options.items():
        line.setsockopt(sockets.SOL_SOCKET, getattr(sockets, name), value)
    line.settimeout(10)
    line.connect((host, int(port)))
    return line


def test_who_confirms_frames_and_reads_none_loses_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.5)
    with served(max_players=1, max_frames_in_flight=120, messages_per_s=1e6) as address:
        line = dial(address, SO_RCVBUF=4096)
        deaf = connect(
            f"ws://{address}/play", sock=line, origin=origin(address), compression=None, max_queue=2
        )
        enter(deaf)
        say(deaf, type="show", view="both", context=True, same_chance=False)
        say(deaf, type="speed", factor=4.0)
        is_over = threading.Event()

        def confirm() -> None:
            with suppress(ConnectionClosed, OSError):
                while not is_over.wait(0.02):
                    deaf.send(json.dumps({"type": "shown", "serial": 2**32 - 1}))

        confirming = threading.Thread(target=confirm)
        confirming.start()
        try:
            with play_at(address) as second:
                began = time.monotonic()
                hear(second, "hello")
                assert time.monotonic() - began < 15, "long before pings find out"
        finally:
            is_over.set()
            confirming.join()
            line.close()


def test_one_byte_is_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENT_S", 0.5)
    with served() as address:
        silent, slow, asking = dial(address), dial(address), dial(address)
        asking.sendall(b"GET /page/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asking.recv(12) == b"HTTP/1.1 200"
        began = time.monotonic()
        while time.monotonic() - began < 0.4:
            slow.sendall(b"G")
            asking.sendall(b"G")
            time.sleep(0.1)
        assert is_cut(silent)
        assert is_cut(slow), "byte after byte is no more than silence"
        assert is_cut(asking), "nor is it after an answer"
        assert time.monotonic() - began < 3
        with play_at(address) as socket:
            hear(socket, "hello")
            time.sleep(0.8)
            say(socket, type="shown", serial=0)
            hear(socket, "model")


def is_cut(line: sockets.socket) -> bool:
    with line, suppress(ConnectionResetError):
        while line.recv(65536):
            pass
    return True
