"""What calls to Zoho cost in API credits: `zoho.client` records each call, and `metering` sums up a block.

https://www.zoho.com/crm/developer/docs/api/v8/api-limits.html
"""

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from crm_export.strict_json import whole_number
from crm_export.telemetry import count
from crm_export.zoho.catalog import (
    CREDITS_BULK_READ_JOB,
    CREDITS_CUSTOM_VIEW_PAGE,
    CREDITS_DELETED_PAGE,
    CREDITS_OTHER_CALL,
)

_CREDITS_HEADER = "x-api-credits-remaining"
_CREDITS_DIGITS = 12


@dataclass
class Meter:
    """The credits that the calls of one block have cost so far."""

    credits: int = 0


_meters: ContextVar[tuple[Meter, ...]] = ContextVar("meters", default=())


@contextmanager
def metering(*, apart: bool = False) -> Iterator[Meter]:
    """Measure what the calls in this context cost. Blocks may be nested; an outer one includes the inner.

    apart: the outer blocks do not include this one.

    Calls of other threads are not measured, not even of those that the block has started.
    """
    meter = Meter()
    token = _meters.set((meter,) if apart else (*_meters.get(), meter))
    try:
        yield meter
    finally:
        _meters.reset(token)


def credits_of(method: str, path: str, params: Container[str] = ()) -> int:
    """Return what Zoho charges for a call, in credits. params: the names of its query parameters."""
    if method == "POST" and path.startswith("/crm/bulk/"):
        return CREDITS_BULK_READ_JOB
    if path.endswith("/deleted"):
        return CREDITS_DELETED_PAGE
    return CREDITS_CUSTOM_VIEW_PAGE if "cvid" in params else CREDITS_OTHER_CALL


def spend(method: str, path: str, params: Container[str] = ()) -> None:
    """Record a call that Zoho has responded to: metric ZohoCreditsSpent, and the context's meters."""
    spent = credits_of(method, path, params)
    count("ZohoCreditsSpent", spent)
    for meter in _meters.get():
        meter.credits += spent


def credits_left(headers: Mapping[str, str]) -> int | None:
    """Return the API credits left; None if a response does not say, as long as half of the day's are unused.

    https://www.zoho.com/crm/developer/docs/api/v8/api-limits.html
    """
    found = (value for name, value in headers.items() if name.casefold() == _CREDITS_HEADER)
    return whole_number(next(found, None), _CREDITS_DIGITS)
