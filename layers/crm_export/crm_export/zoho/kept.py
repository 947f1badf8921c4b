"""Metadata is kept for ten minutes beside the client of its connection."""

import time
from collections.abc import Callable
from typing import cast

from crm_export.zoho.client import ZohoClient

_SECONDS = 600.0


def kept[T](client: ZohoClient, version: str, what: str, read: Callable[[], T]) -> T:
    """What read() gave within the last ten minutes, or gives now. A failure is not kept."""
    until, found = client.metadata.get((version, what), (0.0, None))
    if until <= time.monotonic():
        found = read()
        client.metadata[(version, what)] = (time.monotonic() + _SECONDS, found)
    return cast(T, found)
