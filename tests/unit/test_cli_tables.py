"""Tables of figures on a terminal."""

from __future__ import annotations

import pytest

from flows.cli.tables import figures_table, print_whole


def test_nothing_is_cut_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    head = ("", "diamond-small", "diamond-vae", "wanted")
    row = ("false_terminations_per_frame", "0.0123456", "0.0001234", "at most 0.005")
    print_whole(figures_table(head, [row]))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert [word for word in head if word not in shown] == []
    assert [word for word in row if word not in shown] == []
