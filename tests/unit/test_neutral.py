"""Settings that cannot change a byte stay out of keys, and only those."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from worldgen_core.config import make_config
from worldgen_core.neutral import settings_in_key


def test_checkpoints_and_rollouts_side_by_side_do_not_count() -> None:
    plain = make_config("flappy", "smoke", device="cpu")
    changes = {"direct": {"loop": {"checkpoint_every": 7}}, "evaluate": {"num_threads": 1}}
    other = make_config("flappy", "smoke", device="cpu", overrides=changes)
    assert plain.direct != other.direct
    assert settings_in_key(plain.direct) == settings_in_key(other.direct)
    assert settings_in_key(plain.evaluate) == settings_in_key(other.evaluate)


def test_everything_else_counts() -> None:
    settings = make_config("flappy", "smoke", device="cpu").direct
    lost = set(leaves(settings.model_dump(mode="json"))) - set(leaves(settings_in_key(settings)))
    assert lost == {
        "loop.checkpoint_every",
        "loop.diverged_at",
        "loop.crept_at",
        "loop.checkpoint_activations",
        "loop.num_machines",
        "loop.meeting_point",
    }


def leaves(tree: dict[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in tree.items():
        names += leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return names


def test_every_section_can_be_keyed() -> None:
    for _name, section in make_config("flappy", "laptop", device="cpu"):
        if isinstance(section, BaseModel):
            assert settings_in_key(section)
