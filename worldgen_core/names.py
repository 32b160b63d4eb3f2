"""The words a person may choose from (games, profiles, models, devices); imports nothing: --help is fast."""

from __future__ import annotations

from typing import Literal

GameName = Literal["flappy", "pokemon"]
ProfileName = Literal["smoke", "laptop", "paper"]
ModelName = Literal["direct", "layered", "diamond-vae", "diamond-ae", "diamond", "diamond-small", "gamengen"]
_PLAYS_BEST: dict[GameName, ModelName] = {"flappy": "direct", "pokemon": "layered"}
_PUBLISHED: ModelName = "diamond-vae"


def default_model(game: GameName, profile: ProfileName) -> ModelName:
    """What plays best after minutes on a CPU (docs/decisions/0003, 0007); at `paper`, what was published."""
    return _PUBLISHED if profile == "paper" else _PLAYS_BEST[game]


DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "float32", "bf16", "float16"]
BackendName = Literal["eager", "eager-bf16", "compile", "compile-bf16", "openvino", "openvino-bf16", "onnx"]
BackendChoice = Literal[
    "auto", "eager", "eager-bf16", "compile", "compile-bf16", "openvino", "openvino-bf16", "onnx"
]
"""What computes a dream's frames; "auto" takes the fastest that is right, measured at the first start."""
CompatName = Literal["paper", "diamond"]
"""Where published code departs from its paper: do as the paper says, or as DIAMOND's code does."""
