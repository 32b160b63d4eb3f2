"""A helper two imports away from the stage."""

from __future__ import annotations


def scale(value: int, factor: int) -> int:
    return value * factor
