"""Settings that change how a stage works but not one byte of what it makes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

NEUTRAL: dict[str, Any] = {"is_neutral": True}
"""Marks such a setting: `Field(..., json_schema_extra=NEUTRAL)`. It stays out of the keys of stages."""


def settings_in_key(settings: BaseModel) -> dict[str, Any]:
    """The settings as JSON values, without the neutral ones, nested models included."""
    fields = type(settings).model_fields
    kept = {name: value for name, value in settings if fields[name].json_schema_extra != NEUTRAL}
    values = settings.model_dump(mode="json", include=set(kept))
    nested = {name: settings_in_key(value) for name, value in kept.items() if isinstance(value, BaseModel)}
    return values | nested
