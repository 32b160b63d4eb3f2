"""Connections that end when the other side keeps us waiting: with its request, or with reading what we send.

uvicorn waits for ever for a reader, even to say goodbye, and its own time-outs close only once all is read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from worldgen_core.play.door import Door

SILENT_S = 10.0
"""Seconds within which a whole request must come: idle connections would take the places of others."""
UNREAD_S = 10.0
"""Seconds for which what was sent may lie unread: a player who reads nothing would keep a place."""


class Patience:
    """Cuts a connection off, unless it is stopped in time."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._end: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Lose patience after so long; if it runs already, nothing changes."""
        if self._end is None:
            self._end = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def stop(self) -> None:
        """What was waited for is there."""
        if self._end is not None:
            self._end.cancel()
            self._end = None


class Reader(asyncio.Protocol):
    """The part of a protocol that loses patience with who does not read; it stands before uvicorn's."""

    _unread: Patience

    def pause_writing(self) -> None:
        """Much lies unread; whoever sends waits."""
        super().pause_writing()
        self._unread.start(UNREAD_S)

    def resume_writing(self) -> None:
        """Most of it has been read."""
        self._unread.stop()
        super().resume_writing()


class PoliteProtocol(Reader, AutoHTTPProtocol):
    """uvicorn's HTTP protocol, with an end to silent connections and a door before what strangers ask."""

    door: Door
    cycle: Any
    """uvicorn's newest request and its response; None before the first."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait."""
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        self._stranger = transport
        self._silence, self._unread = Patience(transport), Patience(transport)
        self._silence.start(SILENT_S)

    def data_received(self, data: bytes) -> None:
        """Somebody speaks, and is heard when it is their turn; until then no more is read of them."""
        if self.door.enter():
            self._hear(data)
        elif self.door.wait(lambda: self._hear_late(data)):
            self._stranger.pause_reading()
        else:
            self._stranger.abort()

    def _hear_late(self, data: bytes) -> None:
        if not self._stranger.is_closing():
            self._stranger.resume_reading()
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        super().data_received(data)
        if self._stranger.get_protocol() is not self:  # a WebSocket now, with its own patience
            self._stop()
        elif self.cycle is not None and not self.cycle.response_complete:
            self._silence.stop()
        else:
            # A part of a request: whoever sends one byte after another gets no more time than the silent.
            self._silence.start(SILENT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        self._silence.stop()
        self._unread.stop()


class PlayerProtocol(Reader, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, with an end to those who do not read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        self._unread, self._farewell = Patience(transport), Patience(transport)

    def keepalive_timeout(self) -> None:
        """No answer to a ping."""
        super().keepalive_timeout()
        self._farewell.start(UNREAD_S)

    async def run_asgi(self) -> None:
        """Serve, and then part in a bounded time."""
        await super().run_asgi()
        self._farewell.start(UNREAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more; who waits to send is told so."""
        self._unread.stop()
        self._farewell.stop()
        super().connection_lost(exc)
