"""The web server of play: one page, thumbnails, recordings, and a socket for each player."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from worldgen_core.play.guard import COOKIE, Guard
from worldgen_core.play.player import Player
from worldgen_core.play.recording import Recording
from worldgen_core.play.settings import ServerSettings
from worldgen_core.play.theatre import Theatre

PAGE = Path(__file__).parent / "page"
FULL_CODE, FORBIDDEN_CODE = 1013, 1008
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
        try:
            while self._line[0] is not socket or self._num_playing >= self._settings.max_players:
                # A send to somebody who left raises, which takes them out of the line. Nobody is kept
                # waiting by one who does not read: only the wait for a change holds the lock.
                await socket.send_json({"type": "wait", "ahead": self._line.index(socket)})
                async with self._change:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._change.wait(), 2.0)
            self._num_playing += 1
        finally:
            self._line.remove(socket)
        return True

    async def leave(self) -> None:
        """Free a place."""
        async with self._change:
            self._num_playing -= 1
            self._change.notify_all()


class Shelf:
    """Finished recordings for download, the newest few."""

    def __init__(self, theatre: Theatre, limit: int) -> None:
        self._theatre = theatre
        self._limit = limit
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

    def read(self, name: str, kind: str) -> bytes | None:
        """A file of a recording, or None if there is none. Takes seconds: encodes when asked."""
        recording, facts = self._kept.get(name), self._theatre.facts
        if recording is None or kind not in _MEDIA:
            return None
        if kind == "txt":
            return recording.action_file(facts.action_names)
        return recording.mp4(float(facts.fps)) if kind == "mp4" else recording.gif(float(facts.fps))


def make_app(theatre: Theatre, settings: ServerSettings) -> FastAPI:
    """The application; serves nothing by itself."""
    app = FastAPI(title="worldgen play", docs_url=None, redoc_url=None, openapi_url=None)
    guard, shelf = Guard(settings), Shelf(theatre, settings.max_recordings)
    _add_checks(app, guard)
    _add_files(app, theatre, shelf)
    hall = Hall(settings)

    @app.websocket("/play")
    async def play(socket: WebSocket) -> None:
        if not guard.knows(socket) or not guard.is_own_page(socket):
            await socket.close(FORBIDDEN_CODE)
            return
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            if not await hall.enter(socket):
                await socket.send_json({"type": "full"})
                await socket.close(FULL_CODE, "full")
                return
            try:
                await _play(socket, theatre, settings, shelf)
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
        kind = file_name.rpartition(".")[2]
        data = await asyncio.to_thread(shelf.read, name, kind)
        if data is None:
            return Response("This recording is no longer kept.\n", 404, media_type="text/plain")
        attachment = {"Content-Disposition": "attachment"}
        return Response(data, media_type=_MEDIA[kind], headers=attachment)


async def _play(socket: WebSocket, theatre: Theatre, settings: ServerSettings, shelf: Shelf) -> None:
    session, model = await asyncio.to_thread(theatre.open, seed=secrets.randbelow(2**31))
    try:
        await socket.send_json({"type": "hello", **theatre.describe(), "seed": session.seed})
        player = Player(socket, session, fps=float(theatre.facts.fps), settings=settings, keep=shelf.keep)
        await player.run()
    finally:
        theatre.give_back(model)


def _page_file(name: str) -> Response:
    path = PAGE / name
    if path.suffix not in _TYPES or path.parent != PAGE or not path.is_file():
        return Response(status_code=404)
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix])
