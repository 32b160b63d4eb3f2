"""The few questions that `worldgen up` asks a Prefect server: plain HTTP, no import of Prefect."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from worldgen_core.errors import WorldgenError

TIMEOUT_S = 120.0
BUSY_TIMEOUT_S = 120.0


class ServerError(WorldgenError):
    """The local Prefect server or worker does not start, or does not answer as it should."""


@dataclass(frozen=True)
class ServerApi:
    """The HTTP API of one Prefect server."""

    url: str

    def is_healthy(self) -> bool:
        """Tell whether the server answers and its database is ready."""
        try:
            with urlopen(f"{self.url}/health", timeout=2.0) as answer:
                return json.load(answer) is True
        except (OSError, ValueError):
            return False

    def get(self, path: str) -> Any:
        """Return what lies at `path`, or None if nothing does."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create something, or ask with a filter."""
        return self._call("POST", path, body)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Replace something."""
        return self._call("PUT", path, body)

    def ensure_work_pool(self, name: str) -> None:
        """Create the process work pool unless it is there; its worker fills in the rest."""
        if self.get(f"/work_pools/{quote(name)}") is None:
            self.post("/work_pools/", {"name": name, "type": "process"})

    def ensure_slots(self, name: str, slots: int) -> None:
        """Let at most `slots` holders of that name work at once, unless somebody has set it already."""
        if self.get(f"/v2/concurrency_limits/{quote(name)}") is None:
            self.post("/v2/concurrency_limits/", {"name": name, "limit": slots})

    def has_deployment(self, name: str) -> bool:
        """Tell whether there is a deployment NAME of a flow NAME."""
        return self.get(f"/deployments/name/{quote(name, safe='')}/{quote(name, safe='')}") is not None

    def is_worker_online(self, pool: str, *, since: float) -> bool:
        """Tell whether a worker of the pool has reported since that time (seconds since 1970)."""
        workers = self.post(f"/work_pools/{quote(pool)}/workers/filter", {})
        beats = [datetime.fromisoformat(worker["last_heartbeat_time"]) for worker in workers]
        return any(beat.timestamp() >= since for beat in beats)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self.url + path, data=data, method=method, headers=headers)
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                with urlopen(request, timeout=TIMEOUT_S) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except HTTPError as error:
                if error.code == 404 and method == "GET":
                    return None
                if error.code != 503 or time.monotonic() > deadline:
                    found = f"{error.code} {error.read(500).decode(errors='replace')}"
                    raise self._error(method, path, found) from error
            except (URLError, TimeoutError, ConnectionError) as error:
                raise self._error(method, path, f"no answer ({error})") from error
            time.sleep(0.5)  # 503: its database is busy, as Prefect's own client expects now and then

    def _error(self, method: str, path: str, found: str) -> ServerError:
        return ServerError(
            f"Prefect server at {self.url}: {method} {path}",
            expected="an answer without error",
            found=found,
            next_step="worldgen status; if it does not help: worldgen down, then worldgen up",
        )
