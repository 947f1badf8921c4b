"""What Zoho itself says about a module, besides its records: their number, deletions, and the fields' types.

https://www.zoho.com/crm/developer/docs/api/v8/module_record_count.html
https://www.zoho.com/crm/developer/docs/api/v8/get-deleted-records.html
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from crm_export import strict_json
from crm_export.errors import ZohoUnavailable
from crm_export.zoho.catalog import COUNT_SCOPES, module_scope, records_need_fields
from crm_export.zoho.metadata import describe_fields
from crm_export.zoho.refusals import parse_json

if TYPE_CHECKING:  # callback_receiver loads no HTTP client
    from crm_export.zoho.client import ZohoClient
    from crm_export.zoho.transport import ZohoResponse

_PAGE_SIZE = 200
_MOST_PAGES = 5  # of deleted records, at two credits each
_OLDEST_VERSION = "v3"  # v2 has no count


@dataclass(frozen=True)
class Count:
    """The number of a module's records, and when Zoho counted them: its own clock, in whole seconds."""

    records: int
    at: datetime


class Census:
    """The counts, deletions and fields of one connection's modules.

    Each method raises as `ZohoClient.request` does, and ZohoUnavailable for a response without the number.
    """

    def __init__(self, client: "ZohoClient") -> None:
        self._client = client

    def count(self, version: str, module: str) -> Count:
        """Return how many records a module has. Zoho has no count of Notes."""
        response = self._count(version, module, {})
        return Count(_number(response, module), _clock_of(response))

    def created_since(self, version: str, module: str, moment: datetime) -> int:
        """Return how many records exist that were created at or after a moment."""
        criteria = f"(Created_Time:greater_equal:{moment.isoformat(timespec='seconds')})"
        return _number(self._count(version, module, {"criteria": criteria}), module)

    def deleted_since(self, version: str, module: str, moment: datetime) -> list[datetime]:
        """Return when records were deleted, of those deleted at or after a moment.

        Raises ZohoUnavailable if there are more than 1,000: reading them all would cost too much.
        """
        # A second earlier: whether If-Modified-Since means "at" or "after" is not documented.
        since = (moment - timedelta(seconds=1)).isoformat(timespec="seconds")
        deleted: dict[str, datetime] = {}
        for page in range(1, _MOST_PAGES + 1):
            rows, more = self._deleted_page(version, module, since, page)
            deleted |= {str(row.get("id")): _deleted_time(module, row) for row in rows}
            if not more:
                return [time for time in deleted.values() if time >= moment]
        raise ZohoUnavailable(
            f"Module {module} has more than {_MOST_PAGES * _PAGE_SIZE} deletions since {since}."
        )

    def fields(self, version: str, module: str) -> list[dict[str, Any]]:
        """Return the types of a module's fields, as the manifest has them."""
        return describe_fields(self._client, version, module)

    def _count(self, version: str, module: str, params: dict[str, str]) -> "ZohoResponse":
        path = f"/crm/{_newer(version)}/{module}/actions/count"
        return self._client.request("GET", path, params=params, scopes=(*COUNT_SCOPES, module_scope(module)))

    def _deleted_page(
        self, version: str, module: str, since: str, page: int
    ) -> tuple[list[dict[str, Any]], bool]:
        response = self._client.request(
            "GET",
            f"/crm/{_newer(version)}/{module}/deleted",
            params={"type": "all", "page": str(page), "per_page": str(_PAGE_SIZE)},
            headers={"If-Modified-Since": since},
            scopes=(module_scope(module),),
        )
        if response.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            return [], False
        found = parse_json(response.body)
        data, info = (found.get("data"), found.get("info")) if isinstance(found, dict) else (None, None)
        more = info.get("more_records") if isinstance(info, dict) else None
        if not isinstance(data, list) or not isinstance(more, bool):
            raise ZohoUnavailable(f"Zoho listed deleted records of module {module} without data or info.")
        return [row for row in data if isinstance(row, dict)], more


def _newer(version: str) -> str:
    return version if records_need_fields(version) else _OLDEST_VERSION


def _number(response: "ZohoResponse", module: str) -> int:
    found = parse_json(response.body)
    number = found.get("count") if isinstance(found, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ZohoUnavailable(f"Zoho responded to the count of module {module} without a number.")
    return number


def _clock_of(response: "ZohoResponse") -> datetime:
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).astimezone(UTC)
    except ValueError:
        raise ZohoUnavailable("Zoho's response has no usable header Date.") from None


def _deleted_time(module: str, row: dict[str, Any]) -> datetime:
    moment = strict_json.moment(row.get("deleted_time"))
    if moment is None:
        raise ZohoUnavailable(f"Zoho listed a deleted record of module {module} without its deleted_time.")
    return moment
