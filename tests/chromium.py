"""Finds headless Chromium and its driver; in CI, as root on Debian, installs them where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

INSTALL = "apt-get update && apt-get install -y chromium chromium-driver"
_INSTALL_S = 200
"""CI may not wait longer for it: its other tests have to be done as well."""


@cache
def find_chromium() -> tuple[str, str] | None:
    """Browser and driver, or None if they are not to be had."""
    return _look() or (_look() if _may_install() and _install() else None)


def _look() -> tuple[str, str] | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def _may_install() -> bool:
    return bool(os.environ.get("CI")) and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install() -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            ["bash", "-c", INSTALL], env=environment, capture_output=True, timeout=_INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
