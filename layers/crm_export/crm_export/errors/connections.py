"""What is wrong with a stored connection, or its store."""

from crm_export.errors.base import ExportError


class ConnectionNotFound(ExportError):
    """No OAuth grant is stored for the account and owner."""

    code = "CONNECTION_NOT_FOUND"
    remedy = "Connect the account to Zoho and store its refresh token."


class ConnectionMalformed(ExportError):
    """What is stored for the account and owner is not a connection."""

    code = "CONNECTION_MALFORMED"
    remedy = "Store the connection anew: it needs token.refresh_token and token.api_domain."


class UntrustedOrigin(ExportError):
    """A connection names a host that is not Zoho's nor in TrustedZohoOrigins."""

    code = "UNTRUSTED_ORIGIN"
    remedy = "Correct the connection, or add the origin to the parameter TrustedZohoOrigins."


class TokenInvalidated(ExportError):
    """Zoho no longer takes the refresh token: the user must connect again."""

    code = "TOKEN_INVALIDATED"
    remedy = "Connect the account to Zoho again."


class StoreUnavailable(ExportError):
    """The store of connections did not answer."""

    code = "STORE_UNAVAILABLE"
    max_attempts = None


class StoreTimeout(StoreUnavailable):
    """The store of connections did not answer in time."""

    code = "STORE_TIMEOUT"
