"""A trained policy as a few NumPy matrices: loads fast, plays fast, and needs neither torch nor the trainer.

On disk a policy is `<name>.safetensors` beside `<name>.json`, its card. `best` is the best one; the weaker
ones are named `level-1` (weakest) and so on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64
from safetensors.numpy import load, save

from storage.atomic import write_bytes, write_json
from worldgen_core.errors import CheckpointError

FORMAT_VERSION = 1
BEST = "best"


@dataclass(frozen=True, eq=False)
class Policy:
    """A multilayer perceptron with tanh between its layers, from features to a score for each action."""

    name: str
    weights: tuple[Float32[np.ndarray, "_ _"], ...]
    biases: tuple[Float32[np.ndarray, " _"], ...]

    def scores(self, features: Float32[np.ndarray, "*b f"]) -> Float32[np.ndarray, "*b a"]:
        """Unnormalised log probabilities of the actions."""
        hidden = features
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight + bias
            if i < last:
                hidden = np.tanh(hidden)
        return hidden

    def best_action(self, features: Float32[np.ndarray, "*b f"]) -> Int64[np.ndarray, "*b"]:
        """The most probable action of each row."""
        return np.asarray(self.scores(features).argmax(-1))

    def probabilities(self, features: Float32[np.ndarray, "*b f"]) -> Float[np.ndarray, "*b a"]:
        """Probabilities of the actions, as the policy explored while it learned."""
        scores = self.scores(features).astype(np.float64)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)


def save_policy(folder: Path, policy: Policy, card: dict[str, Any]) -> None:
    """Write a policy and its card; `card` holds what was measured of it."""
    tensors = {f"weight_{i}": weight for i, weight in enumerate(policy.weights)}
    tensors |= {f"bias_{i}": bias for i, bias in enumerate(policy.biases)}
    write_bytes(folder / f"{policy.name}.safetensors", save(tensors))
    facts = {"format_version": FORMAT_VERSION, "activation": "tanh", "num_layers": len(policy.weights)}
    write_json(folder / f"{policy.name}.json", card | facts)


def load_policy(folder: Path, name: str) -> Policy:
    """Read a policy; raises CheckpointError if its files are damaged or of another version."""
    path = folder / f"{name}.safetensors"
    try:
        card = json.loads((folder / f"{name}.json").read_text())
        tensors = load(path.read_bytes())
        layers = range(card["num_layers"])
        weights = tuple(tensors[f"weight_{i}"] for i in layers)
        biases = tuple(tensors[f"bias_{i}"] for i in layers)
        version = card["format_version"]
    except Exception as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    if version != FORMAT_VERSION:
        raise _unreadable(path, f"version {version}")
    return Policy(name, weights, biases)


def _unreadable(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"policy {path}",
        expected=f"a policy of format version {FORMAT_VERSION}",
        found=found,
        next_step="train the agent again: worldgen build GAME --force train_agent",
    )


def load_policies(folder: Path) -> tuple[Policy, Sequence[Policy]]:
    """The best policy, and the weaker ones from the weakest up."""
    weaker = sorted(path.stem for path in folder.glob("level-*.safetensors"))
    return load_policy(folder, BEST), [load_policy(folder, name) for name in weaker]
