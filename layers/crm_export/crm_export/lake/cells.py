"""The cells of a typed column: which texts fit the type, and how Arrow reads those that it would not.

A text fits if its value has exactly one representation in the type: nothing is rounded, cut or guessed.
Doubles are the exception: they hold the nearest value, as every reader of JSON does.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, partial

from crm_export.lake.schema import BOOL, DATE, DOUBLE, INT64, PRECISION, TIMESTAMP, scale_of

_INTEGER = re.compile(r"(-?[0-9]+)(?:\.0+)?", re.ASCII)
_DOUBLE = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_NOT_ZERO = re.compile(r"[^eE]*[1-9]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HOUR_AND_MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME_OF_DAY = rf"{_HOUR_AND_MINUTE}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_HOUR_AND_MINUTE})"
_TIMESTAMP = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_TIME_OF_DAY}")
_LONGEST_NUMBER = 400  # characters; Python refuses to convert integers of more than 4,300
_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Cells:
    """How a type's cells are read.

    plain: texts, each with a newline after it, that all fit, or that Arrow reads as null. It covers what is
    usual, so that a whole column is checked at once. read: returns the text that Arrow reads exactly, or None
    if the text of a single cell does not fit.
    """

    plain: re.Pattern[str]
    read: Callable[[str], str | None]


@cache
def cells_of(kind: str) -> Cells | None:
    """Return how a type's cells are read, or None if every text fits it."""
    scale = scale_of(kind)
    if scale is not None:
        return Cells(_plain(_plain_decimal(scale)), partial(_read_decimal, scale=scale))
    return _CELLS.get(kind)


def _plain(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:(?:{pattern})\n)*+")


def _plain_decimal(scale: int) -> str:
    whole = f"-?[0-9]{{1,{PRECISION - scale}}}" if scale < PRECISION else "-?0"
    return rf"{whole}(?:\.[0-9]{{1,{scale}}})?"


def _read_integer(text: str) -> str | None:
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > _LONGEST_NUMBER:
        return None
    return match[1] if _MIN_INT64 <= int(match[1]) <= _MAX_INT64 else None


def _read_double(text: str) -> str | None:
    """Refuse what becomes infinite, and what becomes zero without being zero."""
    if not _DOUBLE.fullmatch(text):
        return None
    value = float(text)
    if math.isinf(value) or (value == 0 and _NOT_ZERO.match(text)):
        return None
    return repr(value)


def _read_decimal(text: str, *, scale: int) -> str | None:
    """Return the number without an exponent, which may be one of JSON: Java writes 1.0E7."""
    if not _DECIMAL.fullmatch(text) or len(text) > _LONGEST_NUMBER:
        return None
    value = Decimal(text)
    if not value:
        return "0"
    digits = "".join(map(str, value.as_tuple().digits)).rstrip("0")
    lowest = value.adjusted() - len(digits) + 1  # the exponent of the last digit that is not zero
    if value.adjusted() >= PRECISION - scale or lowest < -scale:
        return None
    return format(Decimal(f"{'-' if value < 0 else ''}{digits}E{lowest}"), "f")


def _read_boolean(text: str) -> str | None:
    lower = text.lower()
    return lower if lower in {"true", "false"} else None


def _read_date(text: str) -> str | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def _read_timestamp(text: str) -> str | None:
    """Return the moment in UTC. Refuse times without an offset, and years before 1 and after 9999."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat()


_CELLS = {
    INT64: Cells(_plain("-?[0-9]{1,19}"), _read_integer),
    # Below 1e300, whatever the digits; far from what becomes zero.
    DOUBLE: Cells(_plain(r"-?(?:0|[1-9][0-9]{0,199})(?:\.[0-9]{1,99})?(?:[eE]\+?[0-9]{1,2})?"), _read_double),
    BOOL: Cells(_plain("[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]"), _read_boolean),
    # In the years from 1000 to 2999 no offset leaves what a timestamp may hold.
    DATE: Cells(_plain("[12][0-9]{3}-[01][0-9]-[0-3][0-9]"), _read_date),
    TIMESTAMP: Cells(_plain(rf"[12][0-9]{{3}}-[01][0-9]-[0-3][0-9]T{_TIME_OF_DAY}"), _read_timestamp),
}
