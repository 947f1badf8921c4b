"""A connection: the stored OAuth grant of one account and owner."""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from crm_export.errors import CallerNotIdentified, ConnectionMalformed
from crm_export.zoho.catalog import DEFAULT_SCOPE, trusted_accounts_server, trusted_api_domain
from crm_export.zoho.grants import ClientCredentials, RefreshToken, ZohoClientCredentials

REFRESH_TOKEN, CLIENT_CREDENTIALS = "refresh_token", "client_credentials"  # values of token.grant
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
    """A grant whose two hosts are trusted to receive its tokens.

    client: the client that the grant belongs to, if the connection stores its own; None: the stack's.
    """

    account_id: str
    owner: str
    api_domain: str
    accounts_server: str
    grant: RefreshToken | ClientCredentials
    client: ZohoClientCredentials | None = None

    @classmethod
    def from_document(
        cls, account_id: str, owner: str, document: Any, trusted_origins: tuple[str, ...]
    ) -> Self:
        """Return the connection of `{"token": {<grant>, "api_domain", "accounts_server"?}}`.

        <grant> is "refresh_token", or "grant": "client_credentials" with "soid" and "scope". Either may have
        "client_id" and "client_secret" of its own. Raises ConnectionMalformed, UntrustedOrigin.
        """
        token = document.get("token") if isinstance(document, dict) else None
        if not isinstance(token, dict):
            raise ConnectionMalformed(f'The connection of {account_id}/{owner} has no object "token".')
        stored = _Token(f"{account_id}/{owner}", token)
        grant = stored.grant()
        api_domain = trusted_api_domain(stored.required("api_domain"), trusted_origins)
        accounts = trusted_accounts_server(stored.optional("accounts_server"), api_domain, trusted_origins)
        return cls(account_id, owner, api_domain, accounts, grant, stored.client())

    def stored_grant(self) -> dict[str, str]:
        """Return the fields of `token` that identify the grant: a document with all of them stores it."""
        match self.grant, self.client:
            case RefreshToken(value), _:
                return {"refresh_token": value}
            case ClientCredentials(soid), None:
                return {"grant": CLIENT_CREDENTIALS, "soid": soid}
            case ClientCredentials(soid), ZohoClientCredentials(client_id, client_secret):
                own = {"client_id": client_id, "client_secret": client_secret}
                return {"grant": CLIENT_CREDENTIALS, "soid": soid, **own}


@dataclass(frozen=True)
class _Token:
    """The object "token" of a stored document, of which nothing is known yet."""

    whose: str
    fields: dict[str, Any] = field(repr=False)

    def required(self, name: str) -> str:
        value = self.optional(name)
        if not value:
            raise ConnectionMalformed(f"The connection of {self.whose} has no token.{name}.")
        return value

    def optional(self, name: str) -> str | None:
        value = self.fields.get(name)
        if not isinstance(value, str | None):
            raise ConnectionMalformed(
                f"The connection of {self.whose} has a token.{name} that is not a string."
            )
        return value

    def grant(self) -> RefreshToken | ClientCredentials:
        kind = self.optional("grant") or REFRESH_TOKEN
        if kind == REFRESH_TOKEN:
            return RefreshToken(self.required("refresh_token"))
        if kind == CLIENT_CREDENTIALS:
            return ClientCredentials(self.required("soid"), self.optional("scope") or DEFAULT_SCOPE)
        raise ConnectionMalformed(
            f"The connection of {self.whose} has token.grant {kind!r}; it must be {REFRESH_TOKEN} or "
            f"{CLIENT_CREDENTIALS}."
        )

    def client(self) -> ZohoClientCredentials | None:
        """Return the connection's own client, or None.

        Half a client is ignored next to a refresh token, as it always was; client credentials are refused.
        """
        client_id, secret = self.fields.get("client_id"), self.fields.get("client_secret")
        if isinstance(client_id, str) and isinstance(secret, str) and client_id and secret:
            return ZohoClientCredentials(client_id, secret)
        if (client_id or secret) and self.fields.get("grant") == CLIENT_CREDENTIALS:
            raise ConnectionMalformed(
                f"The connection of {self.whose} has only one of token.client_id and token.client_secret, or "
                "one that is not a string."
            )
        return None


def has_grant(document: dict[str, Any], grant: dict[str, str]) -> bool:
    """Return True if a stored document has all fields of a `stored_grant`."""
    token = document.get("token")
    return isinstance(token, dict) and all(token.get(name) == value for name, value in grant.items())


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
        """Set `token_invalidated: true` where the account has stored this connection's grant.

        A grant that was stored in the meantime is neither marked nor overwritten.
        """

    def mark_account(self, connection: Connection) -> None:
        """Mark what `mark` marks, and all connections of the account's other owners."""
