"""Where a checkout keeps its Prefect: home folder, settings file, environment of the processes.

Never imports Prefect (that takes seconds and reads the settings which this module is there to prepare).

The address of the running server goes into `prefect.toml` in the checkout, machine state that git ignores.
Prefect 3.8.8 reads it in the current folder, with a higher priority than `[tool.prefect]` in
pyproject.toml and than profiles, and a lower one than environment variables.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from storage.atomic import write_bytes
from worldgen_core.errors import ConfigError

HOST = "127.0.0.1"
SETTINGS_MARK = "# Written by `worldgen up` for this machine"
EXTRA_LOGGERS = ("worldgen_core", "storage", "tasks", "flows")
HEARTBEAT_S = 30  # the shortest that Prefect accepts; see flows/cli/zombies.py

# Nothing leaves the machine, and nothing on the machine but this checkout is asked for settings.
_OFFLINE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
_BEHAVIOUR = {
    "PREFECT_PLUGINS_ENABLED": "true",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(EXTRA_LOGGERS),
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    # A build takes all the cores it gets; the server then answers late, which is no error.
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_API_REQUEST_TIMEOUT": "120",
    # Leases in files: a slot that a killed run held is freed even if the server was killed with it.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}


@dataclass(frozen=True)
class Checkout:
    """A folder with a prefect.yaml, and the Prefect home that belongs to it."""

    root: Path
    home: Path

    @property
    def settings_file(self) -> Path:
        """The Prefect settings file that tells a bare `prefect` command where the server is."""
        return self.root / "prefect.toml"

    def environment(self, api_url: str) -> dict[str, str]:
        """Return the variables with which this checkout's server, worker and flows run."""
        return {
            **_OFFLINE,
            **_BEHAVIOUR,
            "PREFECT_HOME": str(self.home),
            "PREFECT_PROFILES_PATH": str(self.home / "profiles.toml"),
            "PREFECT_API_URL": api_url,
        }

    def write_settings(self, api_url: str) -> None:
        """Write prefect.toml, so that a bare `prefect` command in the checkout finds the server.

        Raises: ConfigError if a prefect.toml that somebody else wrote is in the way.
        """
        self.check_settings_file()
        lines = [
            SETTINGS_MARK + "; `worldgen up` writes it anew.",
            f"home = {json.dumps(str(self.home))}",
            f"profiles_path = {json.dumps(str(self.home / 'profiles.toml'))}",
            f"api.url = {json.dumps(api_url)}",
            "plugins.enabled = true",
            "server.analytics_enabled = false",
            "server.ui.show_promotional_content = false",
            "cloud.enable_orchestration_telemetry = false",
            f"flows.heartbeat_frequency = {HEARTBEAT_S}",
            f"logging.extra_loggers = {json.dumps(EXTRA_LOGGERS)}",
            'logging.to_api.when_missing_flow = "ignore"',
        ]
        write_bytes(self.settings_file, ("\n".join(lines) + "\n").encode())

    def check_settings_file(self) -> None:
        """Raise ConfigError if prefect.toml exists and was not written by `worldgen up`."""
        if self.settings_file.exists() and SETTINGS_MARK not in self.settings_file.read_text():
            raise ConfigError(
                f"{self.settings_file}",
                expected="no prefect.toml, or the one that `worldgen up` wrote",
                found="one that somebody else wrote",
                next_step="move its settings to [tool.prefect] in pyproject.toml and delete it",
            )


def find_checkout(start: Path | None = None) -> Checkout:
    """Return the checkout around `start` (default: the current folder), or the one this code comes from.

    The Prefect home is PREFECT_HOME where that is set, and `.worldgen/prefect` in the checkout otherwise.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "prefect.yaml").is_file():
            home = os.environ.get("PREFECT_HOME")
            return Checkout(folder, Path(home).resolve() if home else folder / ".worldgen" / "prefect")
    raise ConfigError(
        f"{here}",
        expected="a checkout of worldgen (a folder with prefect.yaml)",
        found="none here or above",
        next_step="cd to the checkout and type the command again",
    )


def adopt_environment(variables: dict[str, str]) -> None:
    """Give this process the settings that flows started by `worldgen up` have.

    Call it before the first `import prefect`; later it works too, at the price of reading the settings again.
    """
    os.environ.update(variables)
    show_library_logs()
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def show_library_logs() -> None:
    """Give the loggers that Prefect forwards a level of their own, without which it shows none of them."""
    for name in EXTRA_LOGGERS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
