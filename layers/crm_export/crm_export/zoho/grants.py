"""What Zoho issues access tokens for: a refresh token, or the credentials of a client for one organisation.

Without an HTTP client: `crm_export.connections.model` reads grants from stored documents.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class ZohoClientCredentials:
    """Client id and secret of an API client that is registered at Zoho."""

    client_id: str
    client_secret: str = field(repr=False)


class Grant(Protocol):
    """A grant as the token endpoint knows it. name: for error messages."""

    @property
    def name(self) -> str:
        """Return what Zoho refuses when it refuses this grant."""

    def parameters(self) -> dict[str, str]:
        """Return the form fields of a token request; those of the client are not among them."""

    def secrets(self) -> tuple[str, ...]:
        """Return the values that no text may show."""


@dataclass(frozen=True)
class RefreshToken:
    """A user's grant. https://www.zoho.com/crm/developer/docs/api/v8/refresh.html"""

    value: str = field(repr=False)
    name = "refresh token"

    def parameters(self) -> dict[str, str]:
        return {"grant_type": "refresh_token", "refresh_token": self.value}

    def secrets(self) -> tuple[str, ...]:
        return (self.value,)


@dataclass(frozen=True)
class ClientCredentials:
    """The grant of a self client for its own organisation; it has no refresh token.

    soid: `ZohoCRM.<zgid>`. scope: what each new access token may do, as names with commas.
    https://www.zoho.com/accounts/protocol/oauth/self-client/client-credentials-flow.html
    """

    soid: str
    scope: str
    name = "client credentials"

    def parameters(self) -> dict[str, str]:
        return {"grant_type": "client_credentials", "soid": self.soid, "scope": self.scope}

    def secrets(self) -> tuple[str, ...]:
        return ()
