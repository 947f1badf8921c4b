"""JSON as RFC 8259 has it: no NaN, no number beyond a double. Python's own reader takes both."""

import json
import math
from typing import Any


def loads(text: str | bytes) -> Any:
    """Read JSON. Raises ValueError, which RecursionError becomes, too."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is beyond a double")
    return number


class NumberText(str):
    """A number of JSON as the text that stood there: 1.10 stays 1.10."""

    __slots__ = ()


def loads_exact(text: str | bytes) -> Any:
    """Read JSON with all numbers as NumberText. Raises ValueError, as `loads`."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=NumberText, parse_int=NumberText)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
