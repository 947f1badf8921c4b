"""Strict readers of JSON, decimal numbers and datetimes, for all input from outside; and a writer of JSON.

JSON as RFC 8259 defines it, without the NaN and the infinite numbers that Python's own reader accepts.
"""

import json
import math
from collections.abc import Callable
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, NamedTuple, Self

_encode = json.JSONEncoder(allow_nan=False).encode
_LONGEST_INTEGER = 4000  # digits; Python refuses to convert more than 4,300


class ExactNumber(float):
    """A JSON number that remembers the characters that were sent: `dumps` writes 1.10 as 1.10."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Return the float that `text` means; infinite if it exceeds a double."""
        number = super().__new__(cls, text)
        number.text = text
        return number


class RawJson(NamedTuple):
    """JSON that was verified and is written as it is."""

    text: str


def loads(text: str | bytes) -> Any:
    """Read JSON from a caller. Raises ValueError, also for JSON that is nested too deeply."""
    return _loads(text, parse_float=_finite, parse_int=int)


def loads_exact(text: str | bytes) -> Any:
    """Read JSON from Zoho: a number that is not a plain integer is an ExactNumber.

    Raises ValueError for text that is not JSON or is nested too deeply.
    """
    return _loads(text, parse_float=ExactNumber, parse_int=_exact_integer)


def loads_with_text(text: str | bytes) -> Any:
    """Read JSON from a caller: a number with a fraction or an exponent is a string, with its digits as sent.

    Raises ValueError, also for JSON that is nested too deeply.
    """
    return _loads(text, parse_float=str, parse_int=int)


def dumps(value: Any) -> str:
    """Return compact JSON with every number as it was read. Raises ValueError if it is nested too deeply.

    Python's own writer would write an ExactNumber as any other float: 1.10 as 1.1.
    """
    try:
        return _written(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


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


def _written(value: Any) -> str:  # noqa: PLR0911 (a line for each kind of value; the most frequent first)
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, dict):
        items = [encode_basestring(key) + ":" + _written(item) for key, item in value.items()]
        return "{" + ",".join(items) + "}"
    if isinstance(value, RawJson):
        return value.text
    if isinstance(value, list | tuple):
        return "[" + ",".join([_written(item) for item in value]) + "]"
    if isinstance(value, ExactNumber):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return int.__repr__(value) if isinstance(value, int) else _encode(value)


def _exact_integer(text: str) -> int | ExactNumber:
    return ExactNumber(text) if text == "-0" or len(text) > _LONGEST_INTEGER else int(text)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} exceeds a double")
    return number
