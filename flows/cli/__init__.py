"""The `worldgen` command: thin words around recipes, the server and the store."""

from __future__ import annotations


def main() -> None:
    """Run the command line; imported late, so that settings are in place before Prefect reads them."""
    from flows.cli.app import run

    run()
