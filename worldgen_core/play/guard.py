"""Who may come in: the token, the Host that was asked for, the Origin of a page that opens a socket."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from worldgen_core.play.settings import LOCAL_HOSTS, ServerSettings

COOKIE = "worldgen_play"


class Guard:
    """Decides for every request and socket."""

    def __init__(self, settings: ServerSettings) -> None:
        self._token = settings.token

    def knows(self, connection: HTTPConnection) -> bool:
        """Whether the token is right, by query or cookie; without one, that the Host is local.

        The Host is looked at so that no foreign page reaches a local server by a name that resolves to it.
        """
        if self._token is None:
            return _host_name(connection.headers.get("host", "")) in LOCAL_HOSTS
        given = connection.query_params.get("token") or connection.cookies.get(COOKIE, "")
        return hmac.compare_digest(given.encode(), self._token.encode())

    def is_own_page(self, connection: HTTPConnection) -> bool:
        """Whether a socket is opened by a page of this very server."""
        try:
            origin = urlsplit(connection.headers.get("origin", "")).netloc
        except ValueError:
            return False
        return bool(origin) and origin == connection.headers.get("host", "")

    def wants_cookie(self, connection: HTTPConnection) -> bool:
        """Whether the token came by the address, and had better be kept as a cookie."""
        return self._token is not None and "token" in connection.query_params

    @property
    def token(self) -> str | None:
        """The secret itself."""
        return self._token


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
