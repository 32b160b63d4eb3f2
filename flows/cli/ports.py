"""Which port the server listens on: the asked one or an error, else the first free one from 4200 on."""

from __future__ import annotations

import errno
import os
import socket

from flows.cli.checkout import HOST
from worldgen_core.errors import ConfigError

PORTS = range(4200, 4220)


def asked_port(port: int | None) -> int | None:
    """Return the port that was asked for by option or by WORLDGEN_PORT, or None."""
    if port is not None:
        return port
    text = os.environ.get("WORLDGEN_PORT")
    if text is None:
        return None
    if not text.isdigit():
        raise ConfigError(
            "WORLDGEN_PORT", expected="a number", found=repr(text), next_step="unset WORLDGEN_PORT"
        )
    return int(text)


def free_port(asked: int | None) -> int:
    """Return the asked port, or the first free one where none was asked for.

    Raises: ConfigError if it, or every one, is taken.
    """
    candidates = PORTS if asked is None else [asked]
    reasons = {port: _why_not(port) for port in candidates}
    free = [port for port, reason in reasons.items() if reason is None]
    if free:
        return free[0]
    first = candidates[0]
    raise ConfigError(
        f"port {first}" if asked is not None else f"ports {PORTS.start} to {PORTS.stop - 1}",
        expected=f"a free port on {HOST}",
        found=str(reasons[first]),
        next_step="worldgen up --port N (or WORLDGEN_PORT=N) with another number",
    )


def _why_not(port: int) -> str | None:
    """Return why nothing can listen on a port, or None if it is free."""
    if not 1 <= port <= 65535:
        return "a number outside 1 to 65535"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            return f"{error.strerror}" + (" (another program listens there)" if is_taken else "")
    return None
