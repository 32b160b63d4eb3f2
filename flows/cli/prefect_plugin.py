"""Prefect start-up plugin: `prefect deployment run build-flappy` works as typed.

Prefect takes only FLOW/DEPLOYMENT there. Our flows and deployments are named alike, so a name without a slash
is read as NAME/NAME where the server has such a deployment. Prefect loads this module at every import (entry
point group `prefect.plugins`, switched on in pyproject.toml and prefect.toml), so it is cheap and touches
nothing but that one command.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from prefect.plugins import HookContext, register_hook

from flows.cli.checkout import show_library_logs

TIMEOUT_S = 5.0

_OPTIONS_WITH_VALUE = {
    *("--id", "--job-variable", "-jv", "--param", "-p", "--params", "--start-in", "--start-at"),
    *("--tag", "--watch-interval", "--watch-timeout", "--flow-run-name"),
}

Answer = Literal["there", "not there", "no answer"]


@register_hook
def setup_environment(*, ctx: HookContext) -> None:
    """Run by Prefect when it is imported, before it reads its command line."""
    show_library_logs()
    if not is_prefect_command(sys.argv, sys.orig_argv):
        return
    position = find_bare_name(sys.argv)
    if position is None:
        return
    name = sys.argv[position]
    answer = ask_for_deployment(ctx.api_url, name) if ctx.api_url else "no answer"
    if answer == "there":
        sys.argv[position] = f"{name}/{name}"
    elif answer == "no answer":
        raise SystemExit(
            f"deployment {name}: expected a running Prefect server; "
            f"found none at {ctx.api_url or 'any address known here'}. Next: worldgen up"
        )


def is_prefect_command(argv: Sequence[str], orig_argv: Sequence[str]) -> bool:
    """Tell whether this process is Prefect's own command line: `prefect …` or `python -m prefect …`."""
    if argv[0] == "-m":  # what sys.argv holds while `python -m` still imports the package
        return "prefect" in orig_argv and orig_argv[orig_argv.index("prefect") - 1] == "-m"
    return Path(argv[0]).stem == "prefect"


def find_bare_name(argv: Sequence[str]) -> int | None:
    """Return where in `argv` the NAME of `prefect deployment run NAME` stands, if it has no slash.

    Options before the command (such as `--profile`) and calls for help are left to Prefect.
    """
    if list(argv[1:3]) not in (["deployment", "run"], ["deployments", "run"]) or "--help" in argv:
        return None
    name = next(_words(argv, start=3), None)
    return None if name is None or "/" in argv[name] else name


def _words(argv: Sequence[str], start: int) -> Iterator[int]:
    """Yield the positions of words that are neither options nor values of options."""
    is_value = False
    for position in range(start, len(argv)):
        if is_value:
            is_value = False
        elif argv[position].startswith("-"):
            is_value = argv[position] in _OPTIONS_WITH_VALUE
        else:
            yield position


def ask_for_deployment(api_url: str, name: str) -> Answer:
    """Ask the server whether it has the deployment NAME/NAME."""
    path = quote(name, safe="")
    request = Request(f"{api_url}/deployments/name/{path}/{path}", headers=_authorization())
    try:
        with urlopen(request, timeout=TIMEOUT_S):
            return "there"
    except HTTPError:  # it answered: what is wrong is for Prefect to say
        return "not there"
    except (URLError, TimeoutError, ConnectionError):
        return "no answer"


def _authorization() -> dict[str, str]:
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    if api.auth_string is not None:
        token = b64encode(api.auth_string.get_secret_value().encode()).decode()
        return {"Authorization": f"Basic {token}"}
    if api.key is not None:
        return {"Authorization": f"Bearer {api.key.get_secret_value()}"}
    return {}
