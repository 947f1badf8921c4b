"""Pages of records: GET /crm/{version}/{Module}.

https://www.zoho.com/crm/developer/docs/api/v2/get-records.html
"""

from dataclasses import dataclass
from typing import Any

from crm_export.errors import ZohoUnavailable
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.responses import parse_json

# The path's {type} -> Zoho's module.
MODULES = {"contacts": "Contacts", "accounts": "Accounts", "deals": "Deals", "notes": "Notes"}
_NO_CONTENT = 204


@dataclass(frozen=True)
class RecordsPage:
    """`data` as Zoho sent it, `info` as Zoho's own paging facts."""

    data: list[dict[str, Any]]
    info: dict[str, Any]


def get_records(client: ZohoClient, version: str, module: str, *, page: int, per_page: int) -> RecordsPage:
    """One page of a module. A module without records gives an empty page."""
    response = client.request(
        "GET", f"/crm/{version}/{module}", params={"page": str(page), "per_page": str(per_page)}
    )
    if response.status_code == _NO_CONTENT:
        return RecordsPage([], {"page": page, "per_page": per_page, "count": 0, "more_records": False})
    body = parse_json(response.content)
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise ZohoUnavailable(
            f"Zoho answered GET /crm/{version}/{module} with HTTP {response.status_code} but no records."
        )
    info = body.get("info")
    return RecordsPage(body["data"], info if isinstance(info, dict) else {})
