"""A hand-made policy for tests: the rule player as one linear layer, and one that always flaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldgen_core.agents.policy import Policy, save_policy

MARGIN = 8.0


def rule_policy(name: str = "best") -> Policy:
    """Flaps when the bird's bottom would sink below the first hole's bottom less the margin.

    With gap = 25 * feature 1 (hole's centre - bird's centre) and speed = 5 * feature 4, the next bottom lies
    12 + speed + 1 below the bird's centre, the hole's bottom 50 below its own.
    """
    weight = np.zeros((6, 2), np.float32)
    weight[1, 1], weight[4, 1] = -25, 5
    bias = np.array([0, 13 - 50 + MARGIN], np.float32)
    return Policy(name, (weight,), (bias,))


def flapping_policy(name: str = "best") -> Policy:
    """Flaps whatever happens."""
    return Policy(name, (np.zeros((6, 2), np.float32),), (np.array([0, 1], np.float32),))


def save_policies(folder: Path) -> Path:
    """A folder as train_agent leaves it."""
    save_policy(folder, rule_policy(), {})
    save_policy(folder, flapping_policy("level-1"), {})
    return folder
