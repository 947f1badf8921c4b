"""Strict readers of JSON, decimal numbers and datetimes, for all input from outside.

JSON as RFC 8259 defines it, without the NaN and the infinite numbers that Python's own reader accepts.
"""

import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any


class NumberText(str):
    """A JSON number as the characters that were sent: 1.10 stays 1.10."""

    __slots__ = ()


def loads(text: str | bytes) -> Any:
    """Read JSON. Raises ValueError, also for JSON that is nested too deeply."""
    return _loads(text, parse_float=_finite, parse_int=int)


def loads_exact(text: str | bytes) -> Any:
    """Read JSON with every number as NumberText. Raises ValueError, as `loads` does."""
    return _loads(text, parse_float=NumberText, parse_int=NumberText)


def whole_number(value: Any, digits: int) -> int | None:
    """Return a string of 1 to `digits` ASCII digits as an int; None for any other value."""
    usable = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= digits
    return int(value) if usable else None


def moment(value: Any) -> datetime | None:
    """Return a string in ISO 8601 with an offset as a datetime; None for any other value."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _loads(text: str | bytes, parse_float: Callable[[str], Any], parse_int: Callable[[str], Any]) -> Any:
    try:
        return json.loads(text, parse_float=parse_float, parse_int=parse_int, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} exceeds a double")
    return number
