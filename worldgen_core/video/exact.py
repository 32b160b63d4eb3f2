"""Exact numbers in settings: rates and clock corrections are fractions, never rounded to floats.

A setting may be written as a number or as text ("15", "29.97", "30000/1001"). It is kept as the shortest
exact text of its value (or as an int), so that equal values are equal settings.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator

_NUMBER = re.compile(r"\d{1,9}(\.\d{1,12})?(/\d{1,9}(\.\d{1,12})?)?")


def fraction(value: int | float | str) -> Fraction:
    """The exact value; a float means the decimal number that it is printed as.

    Raises: ValueError unless it is a positive number or ratio of at most nine digits before each point.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        raise ValueError("should be a positive number such as 15, 29.97 or 30000/1001")
    above, _, below = text.partition("/")
    if below and Fraction(below) == 0:
        raise ValueError("should not be divided by 0")
    exact = Fraction(above) / (Fraction(below) if below else 1)
    if exact <= 0:
        raise ValueError("should be greater than 0")
    return exact


def exact_text(value: Fraction) -> int | str:
    """How a setting keeps the value: an int, a finite decimal, or a ratio."""
    if value.denominator == 1:
        return value.numerator
    places = 0
    rest = value.denominator
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest, count = rest // prime, count + 1
        places = max(places, count)
    if rest != 1 or places > 12:
        return str(value)
    digits = str(value.numerator * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


def _canonical(value: int | float | str) -> int | str:
    return exact_text(fraction(value))


Exact = Annotated[int | float | str, AfterValidator(_canonical)]
"""A positive exact number in a setting; `fraction(value)` gives it."""
