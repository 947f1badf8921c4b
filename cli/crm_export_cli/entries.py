"""The connections as an operator sees them, in any store."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Entry:
    """What is stored for an account and owner; `document` is None if it is not a JSON object.

    trusted_origins: hosts that the user of a folder trusted with this connection.
    """

    account_id: str
    owner: str
    document: dict[str, Any] | None
    trusted_origins: tuple[str, ...] = ()

    @property
    def is_invalidated(self) -> bool:
        """True if Zoho refused the grant when it was last used."""
        return bool(self.document and self.document.get("token_invalidated"))


class AdminStore(Protocol):
    """The connections as an operator sees them. Every method raises StoreUnavailable and CliError."""

    def put(self, account_id: str, owner: str, token: dict[str, str]) -> bool:
        """Store a token, replace any other, and clear `token_invalidated`. Return True if it is new."""

    def entries(self, account_id: str | None, owner: str | None = None) -> list[Entry]:
        """Return the entries of the account and owner, or all of them, sorted."""

    def delete(self, account_id: str, owner: str) -> int:
        """Delete permanently. Return how many entries were deleted."""
