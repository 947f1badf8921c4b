"""Query parameters, read strictly."""

from collections.abc import Mapping

from crm_export.errors import InvalidRequest

_LARGEST = 10**9


def integer(params: Mapping[str, str], name: str, default: int, largest: int = _LARGEST) -> int:
    """An integer of 1 to `largest`. Raises InvalidRequest, which says which parameter and the range."""
    raw = params.get(name)
    if raw is None:
        return default
    value = int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= len(str(_LARGEST)) else 0
    if not 1 <= value <= largest:
        raise InvalidRequest(f"{name} is {raw[:40]!r}; it must be a whole number from 1 to {largest}.")
    return value
