"""A connection: the stored OAuth grant of one account and owner."""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from crm_export.errors import CallerNotIdentified, ConnectionMalformed
from crm_export.zoho.catalog import trusted_accounts_server, trusted_api_domain

# Identities become segments of S3 keys and secret names, so they contain nothing that could leave a segment.
_IDENTITY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}")


def require_identity(name: str, value: Any) -> str:
    """Return a usable `account_id` or `owner`. Raises CallerNotIdentified."""
    # API Gateway may pass a null claim as the string "null".
    if not isinstance(value, str) or value == "null" or not _IDENTITY.fullmatch(value):
        shown = repr(value)[:140] if value else "missing"
        raise CallerNotIdentified(
            f"Claim {name} of the token is {shown}; it must be 1 to 128 characters of A-Z a-z 0-9 _ . @ - "
            "and begin with a letter, digit or _."
        )
    return value


@dataclass(frozen=True)
class Connection:
    """A grant whose two hosts are trusted to receive its tokens."""

    account_id: str
    owner: str
    api_domain: str
    accounts_server: str
    refresh_token: str = field(repr=False)

    @classmethod
    def from_document(
        cls, account_id: str, owner: str, document: Any, trusted_origins: tuple[str, ...]
    ) -> Self:
        """Return the connection of `{"token": {"refresh_token", "api_domain", "accounts_server"?}}`.

        Raises ConnectionMalformed, UntrustedOrigin.
        """
        token = document.get("token") if isinstance(document, dict) else None
        if not isinstance(token, dict):
            raise ConnectionMalformed(f'The connection of {account_id}/{owner} has no object "token".')
        for name in ("refresh_token", "api_domain"):
            if not isinstance(token.get(name), str) or not token[name]:
                raise ConnectionMalformed(f"The connection of {account_id}/{owner} has no token.{name}.")
        if not isinstance(token.get("accounts_server"), str | None):
            raise ConnectionMalformed(
                f"The connection of {account_id}/{owner} has a token.accounts_server that is not a string."
            )
        api_domain = trusted_api_domain(token["api_domain"], trusted_origins)
        accounts = trusted_accounts_server(token.get("accounts_server"), api_domain, trusted_origins)
        return cls(account_id, owner, api_domain, accounts, token["refresh_token"])


class ConnectionStore(Protocol):
    """Where connections are stored."""

    def get(self, account_id: str, owner: str) -> Connection:
        """Return a connection, invalidated or not.

        Raises ConnectionNotFound, ConnectionMalformed, UntrustedOrigin, StoreUnavailable.
        """

    def stored_now(self, connection: Connection) -> Connection:
        """Return the connection of the same account and owner, read now and not kept. Raises as `get`."""
        return self.get(connection.account_id, connection.owner)

    def mark(self, connection: Connection) -> None:
        """Set `token_invalidated: true` where the account has stored this connection's refresh token.

        A grant that was stored in the meantime is neither marked nor overwritten.
        """

    def mark_account(self, connection: Connection) -> None:
        """Mark what `mark` marks, and all connections of the account's other owners."""
