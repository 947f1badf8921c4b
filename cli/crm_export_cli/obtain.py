"""Obtains tokens from Zoho for `connect`: for every grant, from the data centre that knows the client.

https://www.zoho.com/accounts/protocol/oauth.html
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from crm_export.errors import (
    ConnectionMalformed,
    ExportError,
    TokenInvalidated,
    UntrustedOrigin,
    WrongDataCentre,
    ZohoClientRejected,
    ZohoResponseInvalid,
    ZohoUnavailable,
)
from crm_export.redaction import printable, remember
from crm_export.system import MACHINE, System
from crm_export.zoho.catalog import (
    ACCOUNTS_SERVERS,
    LOCATIONS,
    SCOPES,
    api_domain_of,
    other_api_domain,
    trusted_accounts_server,
    trusted_api_domain,
)
from crm_export.zoho.grants import ClientCredentials, RefreshToken, ZohoClientCredentials
from crm_export.zoho.oauth import AccessToken, issued_token, request_access_token
from crm_export.zoho.refusals import clean_text, error_object
from crm_export.zoho.transport import exchange

# If Zoho refuses a scope by name, fewer are requested: a module's count is of another service than the CRM.
_SCOPE_LISTS = tuple(
    ",".join(names)
    for names in (
        [scope.name for scope in SCOPES],
        [scope.name for scope in SCOPES if scope.name.startswith("ZohoCRM.")],
        [scope.name for scope in SCOPES if scope.required],
    )
)
# What a data centre says to a client or a code of another one.
_OF_ANOTHER_CENTRE = {"invalid_client", "invalid_client_secret", "invalid_code"}
_LONGEST_CALL = 10.0
_LONGEST_INTERVAL = 30.0  # one poll in 30 seconds is never too many
_MILLISECONDS_FROM = 1000  # an interval, or a lifetime, of so much is not in seconds
_SHORTEST_LIFETIME = 60.0


@dataclass(frozen=True)
class Obtained:
    """What Zoho granted, tried once: `token` is its first access token."""

    grant: RefreshToken | ClientCredentials
    token: AccessToken
    accounts_server: str
    api_domain: str


@dataclass(frozen=True)
class AuthorizationCode:
    """A code that the user made for a self client. It can be exchanged once, within a few minutes."""

    value: str = field(repr=False)
    name = "authorization code"

    def parameters(self) -> dict[str, str]:
        return {"grant_type": "authorization_code", "code": self.value}

    def secrets(self) -> tuple[str, ...]:
        return (self.value,)


@dataclass(frozen=True)
class DevicePrompt:
    """What the user of a device flow has to do, within `seconds`."""

    url: str
    user_code: str
    seconds: float


@dataclass(frozen=True)
class Zoho:
    """Zoho's accounts servers, and the only hosts that may get a secret.

    servers: those to ask, in this order. api_domain: the one that the user named, or None.
    """

    client: ZohoClientCredentials
    servers: tuple[str, ...]
    api_domain: str | None
    trusted: tuple[str, ...]
    session: requests.Session = field(repr=False)
    system: System = MACHINE

    def by_client_credentials(self, soid: str) -> Obtained:
        """Return what the client itself may do in its organisation."""

        def request(scope: str) -> Obtained:
            grant = ClientCredentials(soid, scope)
            server, token = self._first(lambda server: self._token(server, grant))
            return self._obtained(grant, token, server)

        return _with_fewer_scopes(request)

    def by_refresh_token(self, refresh_token: str) -> Obtained:
        """Return a refresh token that the user already has, tried."""
        grant = RefreshToken(refresh_token)
        server, token = self._first(lambda server: self._token(server, grant))
        return self._obtained(grant, token, server)

    def by_code(self, code: str) -> Obtained:
        """Exchange the code of a self client for a refresh token."""
        grant = AuthorizationCode(code)
        server, token = self._first(lambda server: self._token(server, grant))
        return self._obtained(_new_refresh_token(token), token, server)

    def by_device(self, show: Callable[[DevicePrompt], None]) -> Obtained:
        """Let the user approve in any browser, and wait for it.

        Raises TokenInvalidated if the user denies it or does nothing in time.
        """
        server, begun = _with_fewer_scopes(
            lambda scope: self._first(lambda server: self._begin(server, scope))
        )
        code, prompt, interval = _device_code(begun, server)
        show(prompt)
        server, token = self._poll(server, code, interval, self.system.monotonic() + prompt.seconds)
        return self._obtained(_new_refresh_token(token), token, server)

    # --- one call --------------------------------------------------------------------------------

    def _token(self, server: str, grant: RefreshToken | ClientCredentials | AuthorizationCode) -> AccessToken:
        return request_access_token(self.session, server, self.client, grant, self.system)

    def _begin(self, server: str, scope: str) -> dict[str, Any]:
        """Request a device code. The client's secret is not sent."""
        body = self._post(
            f"{server}/oauth/v3/device/code",
            grant_type="device_request", client_id=self.client.client_id, scope=scope,
            access_type="offline", prompt="consent",
        )  # fmt: skip
        if "error" in body:
            raise _refusal(server, str(body["error"]))
        return body

    def _poll(self, server: str, code: str, interval: float, until: float) -> tuple[str, AccessToken]:
        while self.system.monotonic() < until:
            self.system.sleep(interval)
            try:
                body = self._poll_once(server, code)
            except ZohoUnavailable:  # the user may approve it meanwhile
                continue
            token = issued_token(body)
            if token is not None:
                return server, token
            match clean_text(str(body.get("error", "")), 100):
                case "authorization_pending":
                    pass
                case "slow_down":
                    interval = min(interval + 5, _LONGEST_INTERVAL)
                case "other_dc":
                    server = self._server_of(server, str(body.get("user_location", "")))
                case refused:
                    raise _refusal(server, refused)
        raise _refusal(server, "expired")

    def _poll_once(self, server: str, code: str) -> dict[str, Any]:
        return self._post(
            f"{server}/oauth/v3/device/token",
            grant_type="device_token", code=code,
            client_id=self.client.client_id, client_secret=self.client.client_secret,
        )  # fmt: skip

    def _post(self, url: str, **data: str) -> dict[str, Any]:
        remember(self.client.client_secret)
        response = exchange(
            self.session, "POST", url, longest=_LONGEST_CALL, system=self.system, repeatable=True, data=data
        )
        body = error_object(response.body)
        if not body:
            raise ZohoUnavailable(f"{url} responded with HTTP {response.status} and without JSON.")
        return body

    # --- data centres ----------------------------------------------------------------------------

    def _first[T](self, call: Callable[[str], T]) -> tuple[str, T]:
        """Call one accounts server after the other until one knows the client; return it and its result.

        If none does, raise the refusal that says most. An outage ends the search: an unknown client would
        not be the reason.
        """
        refusals: list[TokenInvalidated | ZohoClientRejected] = []
        for server in self.servers:
            try:
                return server, call(server)
            except (TokenInvalidated, ZohoClientRejected) as error:
                if (error.zoho_code or "").lower() not in _OF_ANOTHER_CENTRE:
                    raise
                refusals.append(error)
        raise max(refusals, key=_how_telling)

    def _server_of(self, server: str, location: str) -> str:
        """Return the accounts server of a user's location, which Zoho lists. Raises UntrustedOrigin."""
        response = exchange(
            self.session, "GET", f"{server}/oauth/serverinfo", longest=_LONGEST_CALL, system=self.system
        )
        listed = error_object(response.body).get("locations")
        found = listed.get(location) if isinstance(listed, Mapping) else None
        if not isinstance(found, str) and location not in LOCATIONS:
            raise ZohoResponseInvalid(
                f"Zoho's user is in the data centre {clean_text(location, 20)!r}, whose accounts server is "
                "not known here. Name it with --accounts-server."
            )
        url = found if isinstance(found, str) else LOCATIONS[location]
        with _naming(f"The accounts server of the user's data centre, {clean_text(url, 200)},"):
            return trusted_accounts_server(url, "", self.trusted)

    def _obtained(self, grant: RefreshToken | ClientCredentials, token: AccessToken, server: str) -> Obtained:
        """Return the grant with its API domain, which Zoho names. Raises UntrustedOrigin, WrongDataCentre."""
        if token.api_domain is None:
            domain = self.api_domain or api_domain_of(server)
            if domain is None:
                raise ConnectionMalformed(
                    f"{server} does not name the API domain. Name it with --api-domain."
                )
            return Obtained(grant, token, server, domain)
        with _naming(f"The API domain that {server} names, {clean_text(token.api_domain, 200)},"):
            named = trusted_api_domain(token.api_domain, self.trusted)
        other = other_api_domain(named, self.api_domain) if self.api_domain else None
        if other:
            raise WrongDataCentre(
                f"{server} issues tokens for {other}, and --api-domain is {self.api_domain}.",
                remedy="Leave --api-domain out, or name the accounts server of its data centre.",
            )
        return Obtained(grant, token, server, self.api_domain or named)


def hosts(
    api_domain: str | None, accounts_server: str | None, trusted: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the API domain and the accounts servers to ask, before any of them gets a secret.

    Without an accounts server it is that of the API domain, and without both every one of Zoho's. Raises
    UntrustedOrigin.
    """
    domain = None
    if api_domain:
        with _naming(f"--api-domain {api_domain}"):
            domain = trusted_api_domain(api_domain, trusted)
    if accounts_server:
        with _naming(f"--accounts-server {accounts_server}"):
            return domain, (trusted_accounts_server(accounts_server, domain or "", trusted),)
    if domain is None:
        return None, ACCOUNTS_SERVERS
    with _naming(domain):
        return domain, (trusted_accounts_server(None, domain, trusted),)


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say in the words of the command line that a host is not trusted."""
    try:
        yield
    except UntrustedOrigin as error:
        raise UntrustedOrigin(
            f"{what} is neither an https origin of a Zoho data centre nor named with --trust-origin. "
            "Nothing was sent to it.",
            remedy="Correct the URL, or add --trust-origin if the host is yours.",
        ) from error
    except ConnectionMalformed as error:
        raise ConnectionMalformed(
            f"{what} is no data centre of Zoho's, so its accounts server is not known.",
            remedy="Name it with --accounts-server.",
        ) from error


def _with_fewer_scopes[T](request: Callable[[str], T]) -> T:
    """Request with all scopes; with fewer ones if Zoho refuses a scope."""
    *more, fewest = _SCOPE_LISTS
    for scope in more:
        try:
            return request(scope)
        except TokenInvalidated as error:
            if (error.zoho_code or "").lower() != "invalid_scope":
                raise
    return request(fewest)


def _how_telling(error: ExportError) -> int:
    if isinstance(error, TokenInvalidated):
        return 2
    return int(getattr(error, "zoho_code", None) != "invalid_client")


def _refusal(server: str, code: str) -> TokenInvalidated | ZohoClientRejected:
    """Return the error for a code of the device flow, with the classes of `request_access_token`."""
    text = clean_text(code, 100)
    message = f"Zoho's accounts server ({server}) refused the request ({text})."
    if text in ("invalid_client", "invalid_client_secret"):
        return ZohoClientRejected(message, zoho_code=text)
    return TokenInvalidated(message, zoho_code=text)


def _new_refresh_token(token: AccessToken) -> RefreshToken:
    if token.refresh_token is None:
        raise TokenInvalidated(
            "Zoho issued no refresh token: the access would end after an hour.", zoho_code="no_refresh_token"
        )
    return RefreshToken(token.refresh_token)


def _device_code(body: dict[str, Any], server: str) -> tuple[str, DevicePrompt, float]:
    """Return the device code, what the user has to do, and the seconds between two polls."""
    code, user_code = body.get("device_code"), body.get("user_code")
    url = body.get("verification_url") or body.get("verification_uri")
    if not (isinstance(code, str) and isinstance(user_code, str) and isinstance(url, str)):
        raise ZohoResponseInvalid(f"{server} responded without a device code.")
    remember(code)
    seconds = max(_seconds(body.get("expires_in"), 300.0), _SHORTEST_LIFETIME)
    prompt = DevicePrompt(printable(clean_text(url, 200)), printable(user_code[:40]), seconds)
    return code, prompt, min(_seconds(body.get("interval"), 5.0), _LONGEST_INTERVAL)


def _seconds(value: Any, default: float) -> float:
    """Return a duration that Zoho counts in milliseconds and the standard (RFC 8628) in seconds."""
    if not isinstance(value, int | float) or value <= 0:
        return default
    return value / 1000 if value >= _MILLISECONDS_FROM else float(value)
