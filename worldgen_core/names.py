"""The words a person may choose from (games, profiles, models, devices); imports nothing: --help is fast."""

from __future__ import annotations

from typing import Literal

GameName = Literal["flappy", "pokemon"]
ProfileName = Literal["smoke", "laptop", "paper"]
ModelName = Literal["direct", "layered", "diamond-vae", "diamond", "diamond-small"]
DEFAULT_MODELS: dict[GameName, ModelName] = {"flappy": "direct", "pokemon": "layered"}
"""What plays best at profile `laptop`: docs/decisions/0003 and 0007."""

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "float32", "bf16"]
CompatName = Literal["paper", "diamond"]
"""Where published code departs from its paper: do as the paper says, or as DIAMOND's code does."""
