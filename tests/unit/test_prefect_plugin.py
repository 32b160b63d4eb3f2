"""Which command lines the plugin touches, and what it does when the server has, lacks or is no answer."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect.plugins import HookContext

from flows.cli import prefect_plugin
from flows.cli.prefect_plugin import ask_for_deployment, find_bare_name, is_prefect_command, setup_environment


@pytest.mark.parametrize(
    ("words", "position"),
    [
        ("deployment run build-flappy", 3),
        ("deployments run build-flappy --watch", 3),
        ("deployment run -p profile=smoke --watch build-flappy", 6),
        ("deployment run --param seed=1 build-flappy -p a=b", 5),
        ("deployment run --param=seed=1 build-flappy", 4),
        ("deployment run --watch build-flappy", 4),
    ],
)
def test_a_name_without_slash_is_found_wherever_it_stands(words: str, position: int) -> None:
    assert find_bare_name(["prefect", *words.split()]) == position


@pytest.mark.parametrize(
    "words",
    [
        "",
        "version",
        "deployment",
        "deployment run",
        "deployment ls",
        "deployment run build-flappy/build-flappy",
        "deployment run --id 1234",
        "deployment run build-flappy --help",
        "deployment inspect build-flappy",
        "deploy --all",
        "--profile other deployment run build-flappy",
        "flow-run execute build-flappy",
    ],
)
def test_everything_else_is_left_alone(words: str) -> None:
    assert find_bare_name(["prefect", *words.split()]) is None


@pytest.mark.parametrize(
    ("argv0", "orig_argv", "expected"),
    [
        ("/venv/bin/prefect", ["python", "/venv/bin/prefect", "version"], True),
        (r"prefect.exe", ["prefect.exe"], True),
        ("-m", ["python", "-m", "prefect", "version"], True),
        ("-m", ["python", "-m", "prefect.engine"], False),
        ("-m", ["python", "-m", "pytest", "prefect"], False),
        ("/venv/bin/worldgen", ["python", "/venv/bin/worldgen", "up"], False),
        ("/home/me/prefect/run.py", ["python", "/home/me/prefect/run.py"], False),
    ],
)
def test_only_prefects_own_command_line_counts(argv0: str, orig_argv: list[str], expected: bool) -> None:
    assert is_prefect_command([argv0], orig_argv) is expected


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/api/deployments/name/build-flappy/build-flappy"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def api_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def call(api_url: str | None, monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    argv = ["/venv/bin/prefect", "deployment", "run", name, "--watch"]
    monkeypatch.setattr(sys, "argv", argv)
    setup_environment(ctx=HookContext("3.8.8", api_url, lambda _name: pytest.fail("no logger needed")))
    return argv[3:]


def test_a_known_name_is_completed(api_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(api_url, monkeypatch, "build-flappy") == ["build-flappy/build-flappy", "--watch"]


def test_an_unknown_name_is_left_for_prefect_to_refuse(api_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(api_url, monkeypatch, "build-tetris") == ["build-tetris", "--watch"]
    assert call(api_url, monkeypatch, "build flappy?") == ["build flappy?", "--watch"]


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/api"])
def test_without_a_server_it_says_how_to_start_one(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="worldgen up"):
        call(url, monkeypatch, "build-flappy")


def test_a_server_that_asks_for_a_password_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    with temporary_settings({PREFECT_API_AUTH_STRING: "me:secret"}):
        headers = prefect_plugin._authorization()  # pyright: ignore[reportPrivateUsage]  -- the secret's path
    assert headers == {"Authorization": "Basic bWU6c2VjcmV0"}
    assert ask_for_deployment("http://127.0.0.1:9/api", "x") == "no answer"


def test_the_plugin_is_cheap_to_import() -> None:
    code = (
        "import json, sys, prefect.plugins; before = set(sys.modules); import flows.cli.prefect_plugin;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PREFECT_PLUGINS_ENABLED": "false"}  # or Prefect imports it before we look
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert "flows" in loaded
    assert not loaded & {"torch", "numpy", "pyarrow", "typer", "PIL"}
