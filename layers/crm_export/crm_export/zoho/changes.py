"""What a sync asks Zoho about a module: whether records have changed, and which were deleted.

https://www.zoho.com/crm/developer/docs/api/v8/get-records.html
https://www.zoho.com/crm/developer/docs/api/v8/get-deleted-records.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from crm_export import strict_json
from crm_export.errors import ZohoQueryRefused, ZohoUnavailable
from crm_export.zoho.catalog import list_parameters, module_scope, records_need_fields
from crm_export.zoho.credits import credits_left, metering
from crm_export.zoho.refusals import parse_json

if TYPE_CHECKING:  # callback_receiver loads no HTTP client
    from crm_export.zoho.client import ZohoClient
    from crm_export.zoho.transport import ZohoResponse

DELETED_PER_PAGE = 200
_NOTHING = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
_OLDEST_VERSION = "v3"  # with a count and with If-Modified-Since on deleted records
_MOST_PASSES = 6
_MOST_ROWS = 1_000_000
_MOST_BARREN_PAGES = 20  # deletions during the pass shift rows to later pages, but not so often
_ID_DIGITS = 19


@dataclass(frozen=True)
class Probe:
    """Whether records have changed, and Zoho's clock: UTC, whole seconds.

    credits_remaining: None as long as Zoho does not report them.
    """

    at: datetime
    has_changes: bool
    credits_remaining: int | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted record. kind: `recycle`, or `permanent` if it cannot be restored."""

    record_id: str
    deleted_time: datetime
    kind: str


@dataclass(frozen=True)
class Deletions:
    """The deleted records by id, one row for each, what reading them cost, and how often they were read."""

    rows: tuple[Deleted, ...]
    credits: int
    passes: int


class Changes:
    """The changes of one connection's modules.

    Each method raises as `ZohoClient.request` does, and ZohoUnavailable for a response that cannot be used.
    """

    def __init__(self, client: "ZohoClient") -> None:
        self._client = client

    def probe(self, version: str, module: str, since: datetime | None) -> Probe:
        """Return whether a record was created or modified at or after `since`, or whether there is any.

        Bulk Read may support a module that Zoho refuses to list: then there may be changes.
        """
        try:
            response = self._client.request(
                "GET",
                f"/crm/{version}/{module}",
                params={"fields": "id", "per_page": "1", **list_parameters(module)},
                headers={} if since is None else _modified_since(since),
                scopes=(module_scope(module),),
            )
        except ZohoQueryRefused as error:
            return Probe(_clock(error.date), has_changes=True, credits_remaining=None)
        has_changes = response.status not in _NOTHING and bool(_listed(response, module)[0])
        return Probe(clock_of(response), has_changes, credits_left(response.headers))

    def deletions(self, version: str, module: str, since: datetime) -> Deletions:
        """Return the records that were deleted at or after a moment and are deleted now.

        Zoho's list has no documented order, and its pages shift while records are deleted and restored. So it
        is read again until two passes in a row agree. Raises ZohoUnavailable if six passes do not, or if
        there are more than 1,000,000 rows.
        """
        before: tuple[int, int] | None = None
        found: dict[str, Deleted] = {}
        with metering() as meter:
            for number in range(1, _MOST_PASSES + 1):
                found.clear()  # a million rows take 300 MB
                found = self._one_pass(version, module, since)
                before, previous = _fingerprint(found), before
                if before == previous:
                    rows = sorted(found.values(), key=lambda row: int(row.record_id))
                    return Deletions(tuple(rows), meter.credits, number)
        raise ZohoUnavailable(
            f"The list of deleted records of module {module} keeps changing: {_MOST_PASSES} passes differ."
        )

    def _one_pass(self, version: str, module: str, since: datetime) -> dict[str, Deleted]:
        """Return the latest row of each id on all pages. Raises ZohoUnavailable if the pages do not end."""
        found: dict[str, Deleted] = {}
        barren = 0
        for page, _ in deleted_pages(self._client, version, module, since):
            known = len(found)
            for row in page:
                if row.record_id not in found or row.deleted_time > found[row.record_id].deleted_time:
                    found[row.record_id] = row
            barren = barren + 1 if len(found) == known else 0
            if barren > _MOST_BARREN_PAGES or len(found) > _MOST_ROWS:
                raise ZohoUnavailable(
                    f"The list of deleted records of module {module} does not end: {len(found)} records so "
                    f"far, and {barren} pages without a new one."
                )
        for record_id in [row.record_id for row in found.values() if row.deleted_time < since]:
            del found[record_id]
        return found


def deleted_pages(
    client: "ZohoClient", version: str, module: str, since: datetime
) -> Iterator[tuple[list[Deleted], bool]]:
    """Yield the pages of a module's deleted records, and whether more follow.

    Records that were deleted a second earlier are listed, too, and an id may come more than once. Raises as
    `ZohoClient.request`, and ZohoUnavailable.
    """
    number, more = 0, True
    while more:
        number += 1
        response = client.request(
            "GET",
            f"/crm/{newer(version)}/{module}/deleted",
            params={"type": "all", "page": str(number), "per_page": str(DELETED_PER_PAGE)},
            headers=_modified_since(since),
            scopes=(module_scope(module),),
        )
        if response.status in _NOTHING:
            return
        rows, more = _listed(response, module)
        yield [_deleted(module, row) for row in rows], more


def newer(version: str) -> str:
    """Return the version, or for v2 the first one that counts records and lists deleted ones."""
    return version if records_need_fields(version) else _OLDEST_VERSION


def clock_of(response: "ZohoResponse") -> datetime:
    """Return the time of Zoho's clock: UTC, whole seconds. Raises ZohoUnavailable if there is none."""
    return _clock(next((value for name, value in response.headers.items() if name.casefold() == "date"), ""))


def _clock(date: str) -> datetime:
    try:
        return parsedate_to_datetime(date).astimezone(UTC)
    except ValueError:
        raise ZohoUnavailable("Zoho's response has no usable header Date.") from None


def _modified_since(moment: datetime) -> dict[str, str]:
    """Return the header for changes from a moment on, and a second earlier.

    Whether If-Modified-Since means "at" or "after" is not documented.
    """
    return {"If-Modified-Since": (moment - timedelta(seconds=1)).isoformat(timespec="seconds")}


def _listed(response: "ZohoResponse", module: str) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows of a page, and whether more pages follow."""
    found = parse_json(response.body)
    data, info = (found.get("data"), found.get("info")) if isinstance(found, dict) else (None, None)
    more = info.get("more_records") if isinstance(info, dict) else None
    if not isinstance(data, list) or not isinstance(more, bool):
        raise ZohoUnavailable(f"Zoho listed records of module {module} without data or info.")
    return [row for row in data if isinstance(row, dict)], more


def _deleted(module: str, row: dict[str, Any]) -> Deleted:
    record_id, moment = row.get("id"), strict_json.moment(row.get("deleted_time"))
    if strict_json.whole_number(record_id, _ID_DIGITS) is None or moment is None:
        raise ZohoUnavailable(
            f"Zoho listed a deleted record of module {module} without its id or its deleted_time."
        )
    return Deleted(str(record_id), moment.astimezone(UTC), str(row.get("type")))


def _fingerprint(found: dict[str, Deleted]) -> tuple[int, int]:
    """Return two numbers that are the same for the same ids and times, in any order.

    A row's kind is left out, because it changes by itself after 60 days.
    """
    return len(found), sum(hash((record_id, row.deleted_time)) for record_id, row in found.items())
