"""The web server of play: one page, thumbnails, recordings, and a socket for each player."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from worldgen_core.errors import ConfigError
from worldgen_core.play.casting import Casting
from worldgen_core.play.crew import Crew
from worldgen_core.play.guard import COOKIE, Guard
from worldgen_core.play.pace import TokenBucket
from worldgen_core.play.player import BAD_CODE, IDLE_CODE, RUDE_CODE, Player, hear
from worldgen_core.play.protocol import parse
from worldgen_core.play.recording import Recording
from worldgen_core.play.settings import ServerSettings
from worldgen_core.play.theatre import Theatre

PAGE = Path(__file__).parent / "page"
FULL_CODE, FORBIDDEN_CODE = 1013, 1008
_SPEAK_S = 10.0
"""Seconds within which a page that has been greeted must say something."""
_MAX_ENCODING = 4
"""Recordings that may wait to be encoded."""
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_MEDIA = {"mp4": "video/mp4", "gif": "image/gif", "txt": "text/plain"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Hall:
    """Places for players; whoever finds none waits in line."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._num_playing = 0
        self._line: list[WebSocket] = []
        self._change = asyncio.Condition()

    async def enter(self, socket: WebSocket) -> bool:
        """Take a place, or wait for one while telling how many are ahead; False if the line is full too."""
        if self._num_playing < self._settings.max_players and not self._line:
            self._num_playing += 1
            return True
        if len(self._line) >= self._settings.max_waiting:
            return False
        self._line.append(socket)
        hearing = asyncio.create_task(self._let_talk(socket))
        try:
            await self._wait(socket, hearing)
            hearing.cancel()
            await asyncio.wait([hearing])
            self._num_playing += 1
        finally:
            hearing.cancel()
            self._line.remove(socket)
        return True

    async def _wait(self, socket: WebSocket, hearing: asyncio.Task[None]) -> None:
        while self._line[0] is not socket or self._num_playing >= self._settings.max_players:
            # A send to somebody who left raises, which takes them out of the line. Nobody is kept
            # waiting by one who does not read: only the wait for a change holds the lock.
            await socket.send_json({"type": "wait", "ahead": self._line.index(socket)})
            async with self._change:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2.0):
                        await self._change.wait()
            if hearing.done():
                raise WebSocketDisconnect

    async def _let_talk(self, socket: WebSocket) -> None:
        """Read what somebody in line says, and drop it: unread, it would hide their pongs."""
        bucket = TokenBucket(self._settings.messages_per_s, self._settings.message_burst, time.monotonic())
        while await hear(socket) is not None:
            if not bucket.take(time.monotonic()):
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await socket.close(RUDE_CODE, "too many messages")
                break
        async with self._change:
            self._change.notify_all()

    async def leave(self) -> None:
        """Free a place."""
        async with self._change:
            self._num_playing -= 1
            self._change.notify_all()


class Shelf:
    """Finished recordings for download, the newest few."""

    def __init__(self, theatre: Theatre, crew: Crew, limit: int) -> None:
        self._theatre = theatre
        self._crew = crew
        self._limit = limit
        self._num_encoding = 0
        self._kept: OrderedDict[str, Recording] = OrderedDict()

    def keep(self, recording: Recording) -> dict[str, Any]:
        """Keep a recording; says where its files are."""
        name = secrets.token_urlsafe(12)
        self._kept[name] = recording
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        stem = f"{self._theatre.facts.name}-{recording.view}"
        files = [{"name": f"{stem}.{kind}", "url": f"recordings/{name}/{stem}.{kind}"} for kind in _MEDIA]
        return {"frames": recording.num_frames, "files": files}

    @property
    def is_busy(self) -> bool:
        """Whether as many files as may wait are already being made."""
        return self._num_encoding >= _MAX_ENCODING

    async def read(self, name: str, kind: str) -> bytes | None:
        """A file of a recording, or None if there is none. Takes seconds: encodes when asked."""
        recording, facts = self._kept.get(name), self._theatre.facts
        if recording is None or kind not in _MEDIA:
            return None
        if kind == "txt":
            return recording.action_file(facts.action_names)
        encode = recording.mp4 if kind == "mp4" else recording.gif
        self._num_encoding += 1
        try:
            return await self._crew.file(lambda: encode(float(facts.fps)))
        finally:
            self._num_encoding -= 1


def make_app(theatre: Theatre, settings: ServerSettings) -> FastAPI:
    """The application; serves nothing by itself."""
    app = FastAPI(title="worldgen play", docs_url=None, redoc_url=None, openapi_url=None)
    guard, crew = Guard(settings), Crew(settings.max_players)
    shelf = Shelf(theatre, crew, settings.max_recordings)
    _add_checks(app, guard)
    _add_files(app, theatre, shelf)
    hall = Hall(settings)

    @app.websocket("/play")
    async def play(socket: WebSocket) -> None:
        is_known = guard.knows(socket)
        if not guard.is_own_page(socket) or not (is_known or guard.token):
            await socket.close(FORBIDDEN_CODE)
            return
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            if not is_known:
                # A browser tells its page the code of a socket that was open, and not why one was refused.
                await socket.close(FORBIDDEN_CODE, "wrong token")
                return
            if not await hall.enter(socket):
                await socket.send_json({"type": "full"})
                await socket.close(FULL_CODE, "full")
                return
            try:
                await _play(socket, theatre, crew, settings, shelf)
            finally:
                await hall.leave()

    return app


def _add_checks(app: FastAPI, guard: Guard) -> None:
    @app.middleware("http")
    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if not guard.knows(request):
            text = "This game needs the address with its token, as `worldgen play` printed it.\n"
            return Response(text, 403, _HEADERS, "text/plain")
        response = await call_next(request)
        response.headers.update(_HEADERS)
        if guard.wants_cookie(request):
            response.set_cookie(COOKIE, guard.token or "", httponly=True, samesite="strict")
        return response


def _add_files(app: FastAPI, theatre: Theatre, shelf: Shelf) -> None:
    @app.get("/")
    async def index() -> Response:
        return _page_file("index.html")

    @app.get("/page/{name}")
    async def page(name: str) -> Response:
        return _page_file(name)

    @app.get("/starts/{start_id}.png")
    async def thumbnail(start_id: str) -> Response:
        data = theatre.thumbnail(start_id)
        return Response(status_code=404) if data is None else Response(data, media_type="image/png")

    @app.get("/recordings/{name}/{file_name}")
    async def recording(name: str, file_name: str) -> Response:
        if shelf.is_busy:
            return Response("Other recordings are being made. Try again.\n", 503, media_type="text/plain")
        kind = file_name.rpartition(".")[2]
        data = await shelf.read(name, kind)
        if data is None:
            return Response("This recording is no longer kept.\n", 404, media_type="text/plain")
        attachment = {"Content-Disposition": "attachment"}
        return Response(data, media_type=_MEDIA[kind], headers=attachment)


async def _play(
    socket: WebSocket, theatre: Theatre, crew: Crew, settings: ServerSettings, shelf: Shelf
) -> None:
    seed = secrets.randbelow(2**31)
    await socket.send_json({"type": "hello", **theatre.describe(), "seed": seed})
    # A session costs a simulator and a dream: only who speaks gets one.
    first = await _first_message(socket, settings)
    if first is None:
        return
    session, role = await crew.step(lambda: theatre.open(seed=seed))
    casting = Casting(theatre, crew, role)
    try:
        await socket.send_json({"type": "model", **theatre.describe_role(role)})
        player = Player(socket, session, casting, theatre, crew, settings=settings, keep=shelf.keep)
        await player.run(first)
    finally:
        casting.close()


async def _first_message(socket: WebSocket, settings: ServerSettings) -> str | bytes | None:
    """What a player says first; None, with the socket closed, if that is nothing sensible."""
    try:
        async with asyncio.timeout(min(_SPEAK_S, settings.idle_s)):
            data = await hear(socket)
        if data is not None:
            parse(data)
    except TimeoutError:
        await socket.close(IDLE_CODE, "nothing was said")
        return None
    except ConfigError as error:
        await socket.close(BAD_CODE, f"{error.what}: {error.found}"[:120])
        return None
    return data


def _page_file(name: str) -> Response:
    path = PAGE / name
    if path.suffix not in _TYPES or path.parent != PAGE or not path.is_file():
        return Response(status_code=404)
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix])
