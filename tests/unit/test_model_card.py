"""A model's card: another version of the format is one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldgen_core.errors import CheckpointError
from worldgen_core.models.card import CARD_FILE, ModelCard, read_card, write_card

CARD = ModelCard(
    model="direct",
    game="flappy",
    action_names=("idle", "flap"),
    height=16,
    width=24,
    fps=30.0,
    settings={},
    num_parameters={},
    dataset={},
    training={},
    weights_sha256={},
)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"format_version": 2}, "found format_version: Input should be 1, not 2"),
        ({"height": "tall"}, "found height: "),
        ({"colour": 1}, "found colour: "),
    ],
)
def test_a_card_of_another_format_names_the_field(
    tmp_path: Path, change: dict[str, object], found: str
) -> None:
    write_card(tmp_path, CARD)
    assert read_card(tmp_path) == CARD
    path = tmp_path / CARD_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=found) as caught:
        read_card(tmp_path)
    assert "worldgen artifacts verify" in str(caught.value)
