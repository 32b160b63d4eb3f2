"""Runs the play server on a socket of its own until it is stopped."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from worldgen_core.errors import ConfigError
from worldgen_core.play.connections import PlayerProtocol, PoliteProtocol
from worldgen_core.play.door import Door
from worldgen_core.play.settings import ServerSettings

_MAX_CONNECTIONS = 4096
_BACKLOG = 64
"""Connections that the kernel keeps for us: as many are taken in one go, between two frames of a player."""


def listen(settings: ServerSettings) -> socket.socket:
    """A socket that listens on the settings' address.

    Raises: ConfigError if the port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except (OSError, TypeError) as error:  # TypeError: a name that cannot be encoded to be looked up
        listener.close()
        raise _cannot_listen(settings, error) from error
    listener.listen(_BACKLOG)
    return listener


def _cannot_listen(settings: ServerSettings, error: OSError | TypeError) -> ConfigError:
    code = error.errno if isinstance(error, OSError) else None
    found = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if code in (errno.EADDRINUSE, errno.EACCES):
        return ConfigError(
            f"{settings.host}:{settings.port}",
            expected="a free port",
            found=found,
            next_step="choose another with --port (0 takes a free one)",
        )
    return ConfigError(
        f"--host {settings.host}",
        expected="an address of this machine",
        found=found,
        next_step="choose another with --host: 127.0.0.1 for this machine alone, 0.0.0.0 for its network too",
    )


def make_server(app: FastAPI, settings: ServerSettings) -> uvicorn.Server:
    """The server, not yet started."""
    config = uvicorn.Config(
        app,
        http=type("ProtocolAtDoor", (PoliteProtocol,), {"door": Door()}),
        backlog=_BACKLOG,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws=PlayerProtocol,
        ws_max_size=settings.max_message_bytes,
        ws_max_queue=8,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    return uvicorn.Server(config)


def serve(
    app: FastAPI, listener: socket.socket, settings: ServerSettings, *, on_ready: Callable[[], None]
) -> None:
    """Serve until interrupted; `on_ready` is called once requests are answered."""
    server = make_server(app, settings)

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if server.started:
            on_ready()
        await serving

    asyncio.run(run())


class BackgroundServer:
    """Serves on a thread inside a `with` block, which is given the port; for notebooks and tests."""

    def __init__(self, app: FastAPI, settings: ServerSettings) -> None:
        self._server = make_server(app, settings)
        self._settings = settings

    def __enter__(self) -> int:
        """Start, and wait until requests are answered."""
        self._listener = listen(self._settings)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for it."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))
