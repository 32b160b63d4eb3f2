"""Partial settings: the same tree as a settings model with every field optional, and merging it in.

One validator serves the command line, YAML, Prefect's form and tests: misspelt names are rejected with their
dotted path, values by the settings model itself.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from worldgen_core.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


@cache
def partial_model(model: type[BaseModel]) -> type[BaseModel]:
    """Make a model with the same fields, each optional and nested ones partial too."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = partial_model(kind)
        fields[name] = (kind | None, None)
    made = create_model(
        f"Partial{model.__name__}", __config__=ConfigDict(frozen=True, extra="forbid"), **fields
    )
    made.__doc__ = f"Any part of {model.__name__}; what is left out keeps the profile's value."
    return made


def merge(settings: M, changes: Mapping[str, Any], *, where: str = "") -> M:
    """Return `settings` with `changes` (nested dictionaries) merged in and validated.

    Raises: ConfigError that names the dotted path, what is allowed and what was given.
    """
    try:
        return type(settings).model_validate(deep_merge(settings.model_dump(), changes))
    except ValidationError as error:
        raise config_error(error, known=_paths(settings.model_dump()), where=where) from error


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Turn `a.b=c` texts into nested dictionaries; values are JSON where they parse as such, else text."""
    tree: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise ConfigError(
                f"--set {assignment}",
                expected="section.name=value",
                found=repr(assignment),
                next_step="for example --set evaluate.num_starts=24",
            )
        *parents, name = path.strip().split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(
                    f"--set {assignment}",
                    expected=f"{parent} to be a section, with settings of its own",
                    found=f"{parent}={node!r}, set before",
                    next_step=f"leave out one of the two: --set {parent}=… or --set {path}=…",
                )
        node[name] = _value(text)
    return tree


def assignments(base: Mapping[str, Any], changed: Mapping[str, Any], *, prefix: str = "") -> list[str]:
    """Return the `a.b=c` texts that turn one tree of JSON values into another of the same names."""
    found: list[str] = []
    for name, value in changed.items():
        old, path = base.get(name), prefix + name
        if isinstance(old, Mapping) and isinstance(value, Mapping) and old.keys() == value.keys():
            found += assignments(old, value, prefix=f"{path}.")
        elif old != value:
            found.append(f"{path}={_text(value)}")
    return found


def config_error(error: ValidationError, *, known: Iterable[str], where: str = "") -> ConfigError:
    """Turn pydantic's first complaint into one clear error with the nearest known setting."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    full = f"{where}.{path}" if where and path else path or where
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path, list(known), n=1, cutoff=0.5)
        return ConfigError(
            f"setting {full}",
            expected="the name of a setting",
            found="no setting of that name",
            next_step=f"did you mean {where + '.' if where else ''}{near[0]}?"
            if near
            else "worldgen settings lists every setting with its value",
        )
    return ConfigError(
        f"setting {full}",
        expected=str(first["msg"]).removeprefix("Input should be "),
        found=repr(first["input"]),
        next_step="worldgen settings lists every setting with its value",
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    """The shortest text that `_value` reads as `value`."""
    return value if isinstance(value, str) and _value(value) == value else json.dumps(value)


def deep_merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with nested values of `changes` in place of its own."""
    merged = dict(base)
    for name, change in changes.items():
        old = merged.get(name)
        if isinstance(old, Mapping) and isinstance(change, Mapping) and _is_same_kind(old, change):
            merged[name] = deep_merge(old, change)
        else:
            merged[name] = change
    return merged


def _is_same_kind(old: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
    """False if the change names another variant of a union: the old one's fields mean nothing to it."""
    return change.get("name", old.get("name")) == old.get("name")


def _paths(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in tree.items():
        found.append(prefix + name)
        if isinstance(value, Mapping):
            found += _paths(value, f"{prefix}{name}.")
    return found
