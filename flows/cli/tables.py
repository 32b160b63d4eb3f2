"""Tables of figures on a terminal: whole, however narrow it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

_WIDEST = 1000


def figures_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column names what the others, to the right, are of."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def print_whole(table: Table) -> None:
    """Print a table at the width that it needs: cut names and figures are of no use to anybody.

    Where that is more than the terminal has, the terminal breaks the lines.
    """
    console = Console(highlight=False)
    needed = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    Console(highlight=False, width=max(console.width, needed)).print(table)
