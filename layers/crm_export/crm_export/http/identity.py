"""Who calls: the claims of the JWT that API Gateway has verified."""

from dataclasses import dataclass
from typing import Any

from crm_export.connections.model import require_identity


@dataclass(frozen=True)
class Caller:
    """account_id and owner (the claim `uid`) of a request."""

    account_id: str
    owner: str


def caller_of(event: dict[str, Any]) -> Caller:
    """The caller of an HTTP API event (payload 2.0). Raises CallerNotIdentified."""
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    return Caller(
        require_identity("account_id", claims.get("account_id")), require_identity("uid", claims.get("uid"))
    )
