"""Zoho's accounts server: tokens for every kind of grant, device codes, and the list of data centres.

https://www.zoho.com/accounts/protocol/oauth/self-client/client-credentials-flow.html, devices/*.html and
multi-dc.html; https://www.zoho.com/crm/developer/docs/api/v8/refresh.html
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Literal

from zoho_simulator.config import Environment, SimulatorConfig
from zoho_simulator.tokens import TokenStore, granted_scopes, scope_set
from zoho_simulator.wire import Json, Request, Response, json_response

_THROTTLED = {
    "error_description": "You have made too many requests continuously. Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}
_SERVERS = {
    "us": "https://accounts.zoho.com",
    "au": "https://accounts.zoho.com.au",
    "ca": "https://accounts.zohocloud.ca",
    **{code: f"https://accounts.zoho.{code}" for code in ("eu", "in", "jp", "sa", "uk")},
}
_PAGE = (
    "<!DOCTYPE html><html><title>Zoho Accounts</title><body>{}<form>Code: "
    '<input name="user_code" value="{}"> <button name="decision" value="approve">Accept</button> '
    '<button name="decision" value="deny">Reject</button></form></body></html>'
)


type Decision = Literal["", "approve", "deny"]


class _RefusedError(ValueError):
    """Zoho's error code, and what else the response says."""

    def __init__(self, code: str, **more: str) -> None:
        super().__init__(code)
        self.body = {"error": code, **more}


@dataclass
class DeviceCode:
    """A device code and what its user has done with it."""

    user_code: str
    scopes: frozenset[str]
    offline: bool
    expires_at: float
    decision: Decision = ""
    polled_at: float = float("-inf")


@dataclass(frozen=True)
class AuthorizationCode:
    """A code that the API console made for a self client."""

    scopes: frozenset[str]
    expires_at: float


@dataclass
class Accounts:
    """The accounts server of one organisation. `url` is also the API domain, unless the settings name one.

    devices: by device code; codes: by authorization code.
    """

    config: SimulatorConfig
    environment: Environment
    tokens: TokenStore
    url: str
    devices: dict[str, DeviceCode] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)

    def handle(self, request: Request) -> Response | None:
        """Return the response to an OAuth request, or None if the path is not one of OAuth's."""
        endpoint = self._endpoints.get(request.path)
        if endpoint is None:
            return None
        method, respond = endpoint
        if request.method != method:
            page = b"<!DOCTYPE html><html><body><h1>Invalid request</h1></body></html>"
            return Response(HTTPStatus.BAD_REQUEST, {"Content-Type": "text/html;charset=UTF-8"}, page)
        try:
            return respond({**request.form(), **request.query})
        except _RefusedError as refused:  # most errors come with HTTP 200
            return json_response(HTTPStatus.OK, refused.body)

    def make_code(self, scopes: str = "", seconds: float | None = None) -> str:
        """Return a new code of the self client, as the API console makes it."""
        code = self._secret()
        seconds = self.config.authorization_code_seconds if seconds is None else seconds
        self.codes[code] = AuthorizationCode(
            self._granted(scopes or self.config.scopes), self.environment.clock() + seconds
        )
        return code

    def decide(self, user_code: str, decision: Decision) -> bool:
        """Approve or deny what a device requests. Return False for a code that no device shows."""
        typed = user_code.strip().upper()
        device = next((device for device in self.devices.values() if device.user_code == typed), None)
        if device is None or self._is_over(device.expires_at):
            return False
        device.decision = decision
        return True

    @property
    def _endpoints(self) -> Mapping[str, tuple[str, Callable[[Mapping[str, str]], Response]]]:
        return {
            "/oauth/v2/token": ("POST", self._token),
            "/oauth/v3/device/code": ("POST", self._device_code),
            "/oauth/v3/device/token": ("POST", self._device_token),
            "/oauth/v3/device": ("GET", self._verification_page),
            "/oauth/serverinfo": ("GET", self._server_info),
        }

    # --- /oauth/v2/token -------------------------------------------------------------------------

    def _token(self, sent: Mapping[str, str]) -> Response:
        self._check_client(sent)
        match sent.get("grant_type"):
            case "refresh_token" if sent.get("refresh_token") in self.config.refresh_tokens:
                return self._issue(sent["refresh_token"])
            case "client_credentials":
                return self._issue(self._organisation(sent), self._requested(sent))
            case "authorization_code":
                return self._exchange(sent.get("code", ""))
            case _:  # Zoho has no invalid_grant: any mistake in the code or the refresh token
                raise _RefusedError("invalid_code")

    def _check_client(self, sent: Mapping[str, str]) -> None:
        if sent.get("client_id") != self.config.client_id:
            raise _RefusedError("invalid_client")
        if sent.get("client_secret") != self.config.client_secret:
            raise _RefusedError("invalid_client_secret")

    def _organisation(self, sent: Mapping[str, str]) -> str:
        """Return the user that client credentials act as."""
        if not sent.get("soid"):
            raise _RefusedError("missing_org_info")
        if sent["soid"] != self.config.soid:
            raise _RefusedError("invalid_org")  # [U]
        return sent["soid"]

    def _exchange(self, code: str) -> Response:
        made = self.codes.pop(code, None)  # a code can be used once
        if made is None or self._is_over(made.expires_at):
            raise _RefusedError("invalid_code")
        return self._issue_new(made.scopes, offline=True)

    def _requested(self, sent: Mapping[str, str]) -> frozenset[str]:
        return self._granted(sent.get("scope", ""))

    def _granted(self, requested: str) -> frozenset[str]:
        """Return what a new grant may do: the requested scopes that the settings allow."""
        granted = granted_scopes(requested, self.config.scopes)
        is_refused = self.config.unknown_scopes == "refuse" and granted != scope_set(requested)
        if not granted or is_refused:
            raise _RefusedError("invalid_scope")
        return granted

    def _issue_new(self, scopes: frozenset[str], *, offline: bool) -> Response:
        """Issue tokens for a new refresh token, which the response has if the access is `offline`."""
        refresh_token = self._secret()
        self.config.refresh_tokens.add(refresh_token)
        return self._issue(refresh_token, scopes, refresh_token if offline else None)

    def _issue(
        self, user: str, scopes: frozenset[str] | None = None, refresh_token: str | None = None
    ) -> Response:
        grant = self.tokens.issue(user, scopes)
        if grant is None:
            return json_response(self.config.throttle_status, _THROTTLED)
        seconds = int(self.config.access_token_seconds)
        lifetime: Json = {"expires_in": seconds}
        if self.config.expires_in_style == "expires_in_sec":
            lifetime = {"expires_in_sec": seconds, "expires_in": seconds * 1000}
        body = {
            "access_token": grant.access_token,
            **({"refresh_token": refresh_token} if refresh_token else {}),
            **lifetime,
            **({"scope": " ".join(sorted(grant.names))} if self.config.token_names_scopes else {}),
            "api_domain": self.config.api_domain or self.url,
            "token_type": "Bearer",
        }
        return json_response(HTTPStatus.OK, body)

    # --- the device flow -------------------------------------------------------------------------

    def _device_code(self, sent: Mapping[str, str]) -> Response:
        if sent.get("client_id") != self.config.client_id:
            raise _RefusedError("invalid_client")
        if sent.get("grant_type") != "device_request":
            raise _RefusedError("invalid_request")
        seconds, digits = self.config.device_code_seconds, self.environment.token(4).upper()
        device_code, user_code = self._secret(), f"{digits[:4]}-{digits[4:]}"
        self.devices[device_code] = DeviceCode(
            user_code,
            self._requested(sent),
            sent.get("access_type") == "offline",
            self.environment.clock() + seconds,
            "approve" if self.config.device_approval == "automatic" else "",
        )
        body = {
            "user_code": user_code,
            "device_code": device_code,
            "verification_url": f"{self.url}/oauth/v3/device",
            "verification_uri_complete": f"{self.url}/oauth/v3/device?user_code={user_code}",
            # Zoho counts both in milliseconds.
            "interval": int(self.config.device_interval_seconds * 1000),
            "expires_in": int(seconds * 1000),
        }
        return json_response(HTTPStatus.OK, body)

    def _device_token(self, sent: Mapping[str, str]) -> Response:
        self._check_client(sent)
        device = self.devices.get(sent.get("code", ""))
        if device is None or sent.get("grant_type") != "device_token":
            raise _RefusedError("invalid_code")
        now = self.environment.clock()
        is_early = now - device.polled_at < self.config.device_interval_seconds
        device.polled_at = now
        if is_early:
            raise _RefusedError("slow_down")
        if self._is_over(device.expires_at):
            raise _RefusedError("expired")
        match device.decision:
            case "approve" if self.config.user_location:
                raise _RefusedError("other_dc", user_location=self.config.user_location)
            case "approve":
                del self.devices[sent["code"]]
                return self._issue_new(device.scopes, offline=device.offline)
            case "deny":
                raise _RefusedError("access_denied")
            case _:
                raise _RefusedError("authorization_pending")

    def _verification_page(self, sent: Mapping[str, str]) -> Response:
        """The page on which the user types the code; it stands for the sign-in, too."""
        user_code, decision, note = sent.get("user_code", ""), sent.get("decision", ""), ""
        if decision:
            known = self.decide(user_code, "approve" if decision == "approve" else "deny")
            note = f"<p>{'Done: go back to the device.' if known else 'This code is not valid.'}</p>"
        page = _PAGE.format(note, escape(user_code, quote=True))
        return Response(HTTPStatus.OK, {"Content-Type": "text/html;charset=UTF-8"}, page.encode())

    def _server_info(self, _: Mapping[str, str]) -> Response:
        locations = {**_SERVERS, **self.config.accounts_servers}
        return json_response(HTTPStatus.OK, {"result": "success", "locations": locations})

    # --- both ------------------------------------------------------------------------------------

    def _secret(self) -> str:
        return f"1000.{self.environment.token(16)}.{self.environment.token(16)}"

    def _is_over(self, expires_at: float) -> bool:
        return expires_at <= self.environment.clock()
