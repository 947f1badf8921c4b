"""The modules of an account, from its metadata: GET /crm/{version}/settings/modules.

https://www.zoho.com/crm/developer/docs/api/v8/modules-api.html
"""

from typing import Any

from crm_export.errors import ZohoUnavailable
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.kept import kept
from crm_export.zoho.responses import is_name, parse_json


def get_modules(client: ZohoClient, version: str) -> list[str]:
    """The API names of all modules, custom ones too; kept for ten minutes beside the client."""

    def read() -> list[str]:
        path = f"/crm/{version}/settings/modules"
        answer = parse_json(client.request("GET", path).body)
        modules: Any = answer.get("modules") if isinstance(answer, dict) else None
        if not isinstance(modules, list):
            raise ZohoUnavailable(f"Zoho answered GET {path} without modules.")
        names = (item.get("api_name") for item in modules if isinstance(item, dict))
        return [str(name) for name in names if is_name(name)]

    return kept(client, version, "modules", read)
