"""Texts of the command line as nested settings."""

from __future__ import annotations

import pytest

from worldgen_core.errors import ConfigError
from worldgen_core.overrides import assignments, parse_assignments


def test_assignments_nest() -> None:
    assert parse_assignments(["direct.seed=2", "direct.loop.device=cpu"]) == {
        "direct": {"seed": 2, "loop": {"device": "cpu"}}
    }


def test_a_value_where_a_section_is_named_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"--set direct\.seed=2: expected direct to be a section"):
        parse_assignments(["direct=1", "direct.seed=2"])


def test_what_differs_comes_back_as_texts_that_are_read_as_the_same() -> None:
    base = {"a": {"x": 1, "name": "one", "many": [1]}, "b": 2.0}
    changed = {"a": {"x": 1, "name": "7", "many": [1, 2]}, "b": None}
    texts = assignments(base, changed)
    assert texts == ['a.name="7"', "a.many=[1, 2]", "b=null"]
    assert parse_assignments(texts) == {"a": {"name": "7", "many": [1, 2]}, "b": None}
    assert assignments(base, base) == []
