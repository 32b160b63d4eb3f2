"""Texts of the command line as nested settings."""

from __future__ import annotations

import pytest

from worldgen_core.errors import ConfigError
from worldgen_core.overrides import parse_assignments


def test_assignments_nest() -> None:
    assert parse_assignments(["direct.seed=2", "direct.loop.device=cpu"]) == {
        "direct": {"seed": 2, "loop": {"device": "cpu"}}
    }


def test_a_value_where_a_section_is_named_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"--set direct\.seed=2: expected direct to be a section"):
        parse_assignments(["direct=1", "direct.seed=2"])
