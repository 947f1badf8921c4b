"""Cuts the records out of a response of the records API without reading them, for the page API.

Their JSON is passed on as Zoho wrote it. This module imports msgspec; only functions/export_handler loads it.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from crm_export import strict_json
from crm_export.strict_json import RawJson


@dataclass(frozen=True)
class RawRecords:
    """data: a JSON array of `count` objects. info: Zoho's facts about paging, read."""

    data: RawJson
    count: int
    info: Any


class _Body(msgspec.Struct):
    data: list[msgspec.Raw]
    info: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Body).decode
_OBJECT = ord("{")


def cut_out(body: bytes) -> RawRecords | None:
    """Return the records of a body, or None if it is not an object in UTF-8 with an array `data` of objects.

    All of the body is verified as RFC 8259 defines JSON. None is also returned for what `loads_exact` reads
    and msgspec refuses: half of a surrogate pair, a byte order mark, UTF-16.
    """
    try:
        body.decode()  # msgspec does not verify UTF-8 in what it skips; reading a str would take it longer
        found = _decode(body)
        info = strict_json.loads_exact(bytes(found.info))
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    if any(memoryview(record)[0] != _OBJECT for record in found.data):
        return None
    return RawRecords(RawJson(f"[{b','.join(found.data).decode()}]"), len(found.data), info)
