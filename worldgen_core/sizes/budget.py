"""One budget of operations for the trainings of different models: steps of each, in proportion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldgen_core.config import Config
from worldgen_core.errors import ConfigError
from worldgen_core.sizes.training import training_flops

_SAME = 1e-3


def within_budget(config: Config, budget_flops: float) -> dict[str, Any]:
    """Changes to a configuration's settings after which its trainings together take this many operations.

    The steps of all trainings change by one factor, those of every phase of a curriculum and the examples of
    a prior's fit with them. Empty where the configuration keeps to the budget as it is.
    Raises: ConfigError if that leaves a training without a step.
    """
    costs = training_flops(config)
    factor = budget_flops / sum(costs.values())
    if abs(factor - 1) < _SAME:
        return {}
    return {
        name: _scaled(section, factor, name)
        for name, section in config.model_dump(mode="json").items()
        if name in costs
    }


def _scaled(section: Mapping[str, Any], factor: float, name: str) -> dict[str, Any]:
    if "phases" not in section:
        return {"num_steps": _steps(section["num_steps"], factor, name)}
    phases = section["phases"]
    changes = {"phases": [{**one, "num_steps": _steps(one["num_steps"], factor, name)} for one in phases]}
    return changes | ({"prior": _scaled_fit(section["prior"], factor, name)} if "prior" in section else {})


def _scaled_fit(fit: Mapping[str, Any], factor: float, name: str) -> dict[str, int]:
    return {key: _steps(fit[key], factor, f"{name}.prior") for key in ("num_examples", "num_steps")}


def _steps(num_steps: int, factor: float, name: str) -> int:
    steps = round(num_steps * factor)
    if num_steps and not steps:
        raise ConfigError(
            "budget",
            expected=f"enough for a step of {name}",
            found=f"{factor:.2g} of the {num_steps} steps that the profile gives it",
            next_step="give a larger --budget, or leave it out",
        )
    return steps
