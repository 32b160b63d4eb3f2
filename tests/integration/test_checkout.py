"""Where a checkout keeps its Prefect, and the settings file that Prefect itself then reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.checkout import Checkout, find_checkout
from worldgen_core.errors import ConfigError


def test_it_is_found_from_a_folder_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME")
    (tmp_path / "prefect.yaml").touch()
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert find_checkout(inside) == Checkout(tmp_path, tmp_path / ".worldgen" / "prefect")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    assert find_checkout(inside).home == tmp_path / "home"


def test_elsewhere_the_checkout_of_this_code_is_meant(tmp_path: Path) -> None:
    assert (find_checkout(tmp_path).root / "flows" / "cli" / "checkout.py").exists()


def test_prefect_reads_what_was_written(tmp_path: Path) -> None:
    here = Checkout(tmp_path, tmp_path / "my home")
    here.write_settings("http://127.0.0.1:4213/api")
    here.write_settings("http://127.0.0.1:4213/api")
    code = (
        "import json, warnings; warnings.simplefilter('error')\n"
        "from prefect.settings import get_current_settings as s\n"
        "s = s(); print(json.dumps([str(s.home), s.api.url, s.plugins.enabled, s.server.analytics_enabled,"
        " s.cloud.enable_orchestration_telemetry, sorted(s.logging.extra_loggers)]))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == [
        str(tmp_path / "my home"),
        "http://127.0.0.1:4213/api",
        True,
        False,
        False,
        ["flows", "storage", "tasks", "worldgen_core"],
    ]


def test_a_settings_file_that_somebody_wrote_is_never_overwritten(tmp_path: Path) -> None:
    here = Checkout(tmp_path, tmp_path / "home")
    here.settings_file.write_text('api.url = "http://example.test/api"\n')
    with pytest.raises(ConfigError, match=r"prefect\.toml.*somebody else.*pyproject\.toml"):
        here.write_settings("http://127.0.0.1:4200/api")
    assert "example.test" in here.settings_file.read_text()
