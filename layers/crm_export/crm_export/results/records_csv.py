"""Records of Zoho's records API as CSV, with the conventions of Zoho's Bulk Read.

https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/download-result.html
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from crm_export.errors import RecordWithoutId, ResultError
from crm_export.strict_json import NumberText


def columns(fields: list[str]) -> list[str]:
    """The header: Id, as Bulk Read calls it, and the fields in their order."""
    return ["Id", *(field for field in fields if field.lower() != "id")]


def csv_chunks(pages: Iterable[list[dict[str, Any]]], fields: list[str]) -> Iterator[bytes]:
    """The CSV of records, header first and then a chunk per page: RFC 4180, UTF-8.

    A field that a record lacks is an empty cell. Raises ResultError, RecordWithoutId among them, and what
    `pages` raises.
    """
    names = columns(fields)
    yield _lines([names])
    for page in pages:
        yield _lines(
            [_record_id(record), *(_cell(name, record.get(name)) for name in names[1:])] for record in page
        )


def _lines(rows: Iterable[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    try:
        return out.getvalue().encode()
    except UnicodeEncodeError:
        # JSON can write half a surrogate pair, UTF-8 cannot: two halves are joined, one alone becomes U+FFFD.
        return out.getvalue().encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _record_id(record: dict[str, Any]) -> str:
    found = record.get("id")
    if not _is_id(found):
        shown = json.dumps(found, default=str)[:100]
        raise RecordWithoutId(f"A record of Zoho's has the id {shown}; it must be a text or a whole number.")
    return str(found)


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _cell(name: str, value: Any) -> str:
    """What Bulk Read writes for a value; for what it does not export (subforms), compact JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and _is_id(value.get("id")):
        return str(value["id"])  # lookup, owner, user, layout
    if isinstance(value, list):
        texts: list[Any] = [
            item.get("name") if name == "Tag" and isinstance(item, dict) else item for item in value
        ]
        if all(isinstance(text, str) for text in texts):
            return ",".join(texts)
    try:
        return _json(value)
    except RecursionError:
        raise ResultError(f"Field {name} of a record of Zoho's is nested too deep to be written.") from None


def _json(value: Any) -> str:
    """Compact JSON, with numbers as the text that Zoho sent."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(str(key))}:{_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, NumberText | Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False)
