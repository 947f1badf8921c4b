"""What Zoho itself says about a module, besides its records: their number, deletions, and the fields' types.

https://www.zoho.com/crm/developer/docs/api/v8/module_record_count.html
https://www.zoho.com/crm/developer/docs/api/v8/get-deleted-records.html
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crm_export.errors import ZohoUnavailable
from crm_export.zoho.catalog import COUNT_SCOPES, module_scope
from crm_export.zoho.changes import DELETED_PER_PAGE, clock_of, deleted_pages, newer
from crm_export.zoho.metadata import describe_fields
from crm_export.zoho.refusals import parse_json

if TYPE_CHECKING:  # callback_receiver loads no HTTP client
    from crm_export.zoho.client import ZohoClient
    from crm_export.zoho.transport import ZohoResponse

_MOST_PAGES = 5  # of deleted records, at two credits each


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
        return Count(_number(response, module), clock_of(response))

    def created_since(self, version: str, module: str, moment: datetime) -> int:
        """Return how many records exist that were created at or after a moment."""
        criteria = f"(Created_Time:greater_equal:{moment.isoformat(timespec='seconds')})"
        return _number(self._count(version, module, {"criteria": criteria}), module)

    def deleted_since(self, version: str, module: str, moment: datetime) -> list[datetime]:
        """Return when records were deleted, of those deleted at or after a moment.

        Raises ZohoUnavailable if there are more than 1,000: reading them all would cost too much.
        """
        deleted: dict[str, datetime] = {}
        pages = deleted_pages(self._client, version, module, moment)
        for number, (rows, more) in enumerate(pages, start=1):
            deleted |= {row.record_id: row.deleted_time for row in rows}
            if more and number == _MOST_PAGES:
                raise ZohoUnavailable(
                    f"Module {module} has more than {_MOST_PAGES * DELETED_PER_PAGE} deletions since "
                    f"{moment.isoformat()}."
                )
        return [time for time in deleted.values() if time >= moment]

    def fields(self, version: str, module: str) -> list[dict[str, Any]]:
        """Return the types of a module's fields, as the manifest has them."""
        return describe_fields(self._client, version, module)

    def _count(self, version: str, module: str, params: dict[str, str]) -> "ZohoResponse":
        path = f"/crm/{newer(version)}/{module}/actions/count"
        return self._client.request("GET", path, params=params, scopes=(*COUNT_SCOPES, module_scope(module)))


def _number(response: "ZohoResponse", module: str) -> int:
    found = parse_json(response.body)
    number = found.get("count") if isinstance(found, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ZohoUnavailable(f"Zoho responded to the count of module {module} without a number.")
    return number
