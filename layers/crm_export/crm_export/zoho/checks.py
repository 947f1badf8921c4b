"""Tries a connection at Zoho: what its token may do, and what the organisation has. Nothing is changed there.

`crm-export connect` does so before it stores anything, `connections test` and `doctor` with what is stored;
functions/export_handler does so for an operator.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Self

import requests

from crm_export.errors import (
    ExportError,
    TokenInvalidated,
    ZohoError,
    ZohoNotFound,
    ZohoPermissionDenied,
)
from crm_export.redaction import printable
from crm_export.strict_json import whole_number
from crm_export.system import MACHINE, System
from crm_export.zoho.catalog import MODULES_SCOPE, SCOPES, Scope, covers
from crm_export.zoho.client import TokenSource, ZohoClient
from crm_export.zoho.oauth import AccessToken
from crm_export.zoho.refusals import clean_text, parse_json
from crm_export.zoho.transport import ZohoResponse

type State = Literal["granted", "missing", "unknown"]
_VERSION = "v8"
_DOTS = MODULES_SCOPE.count(".")  # the scope of a single module has one more
_COUNT = f"/crm/{_VERSION}/Contacts/actions/count"
# A request that needs the scope, costs one credit and changes nothing. No Bulk Read job has the number 1.
_REQUESTS = {
    "ZohoCRM.bulk.READ": f"/crm/bulk/{_VERSION}/read/1",
    MODULES_SCOPE: f"/crm/{_VERSION}/Contacts?fields=id&per_page=1",
    "ZohoCRM.settings.modules.READ": f"/crm/{_VERSION}/settings/modules",
    "ZohoCRM.settings.fields.READ": f"/crm/{_VERSION}/settings/fields?module=Contacts",
    "ZohoCRM.org.READ": f"/crm/{_VERSION}/org",
    "ZohoCRM.users.READ": f"/crm/{_VERSION}/users?type=CurrentUser",
    "ZohoSearch.securesearch.READ": _COUNT,
    "ZohoCRM.settings.layouts.READ": _COUNT,
}


@dataclass(frozen=True)
class ScopeCheck:
    """Whether a scope is granted; `why` has Zoho's reason if it refused the request."""

    scope: Scope
    state: State
    why: str = ""

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the check that `document` made."""
        scope = Scope(document["name"], document["for"], required=document["required"])
        return cls(scope, document["state"], document.get("why", ""))

    def document(self) -> dict[str, Any]:
        """Return the check as JSON."""
        scope = self.scope
        known = {"name": scope.name, "required": scope.required, "state": self.state, "for": scope.purpose}
        return {**known, "why": self.why} if self.why else known


@dataclass(frozen=True)
class Report:
    """What was tried, and what Zoho said. credits_left: Zoho says so once half of a day's are used.

    clock_ahead: seconds by which this machine's clock is ahead of Zoho's; None if Zoho did not say the time.
    """

    token_seconds: float
    api_domain: str
    scopes: tuple[ScopeCheck, ...]
    organisation: dict[str, Any] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    modules: int | None = None
    module_names: tuple[str, ...] = ()  # API names; not part of the document
    credits_left: int | None = None
    clock_ahead: float | None = None

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the report that `document` made. Raises KeyError and TypeError for another document."""
        return cls(
            document["token"]["seconds"],
            document["api_domain"],
            tuple(map(ScopeCheck.from_document, document["scopes"])),
            organisation=document["organisation"] or {},
            user=document["user"] or {},
            modules=document["modules"],
            credits_left=document["credits_left"],
            clock_ahead=document["clock_ahead_seconds"],
        )

    def missing(self, *, required: bool) -> list[ScopeCheck]:
        """Return the missing scopes that are required, or those that would help."""
        return [
            check for check in self.scopes if check.state == "missing" and check.scope.required == required
        ]

    def document(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "token": {"state": "valid", "seconds": round(self.token_seconds)},
            "api_domain": self.api_domain,
            "organisation": self.organisation or None,
            "user": self.user or None,
            "modules": self.modules,
            "credits_left": self.credits_left,
            "clock_ahead_seconds": self.clock_ahead,
            "scopes": [check.document() for check in self.scopes],
        }


class _OneToken(TokenSource):
    """The access token that was just issued; it is not replaced."""

    def __init__(self, token: AccessToken, api_domain: str) -> None:
        self._token = token
        self._api_domain = api_domain

    def token(self, rejected: str | None = None) -> str:
        if rejected is not None:
            raise self.reject_grant(rejected)
        return self._token.value

    def is_own(self, token: str) -> bool:
        return token == self._token.value

    def reject_grant(self, token: str) -> ExportError:
        del token
        return TokenInvalidated(f"{self._api_domain} rejects its new access token.")


class Checks:
    """Requests with one token, and the responses so far."""

    def __init__(
        self,
        session: requests.Session,
        api_domain: str,
        token: AccessToken,
        system: System = MACHINE,
    ) -> None:
        self._client = ZohoClient(session, api_domain, _OneToken(token, api_domain), system)
        self._token = token
        self._api_domain = api_domain
        self._system = system
        self._seen: dict[str, tuple[State, str]] = {}
        self._bodies: dict[str, Any] = {}
        self._credits: int | None = None
        self._clock_ahead: float | None = None

    def run(self) -> Report:
        """Try all scopes. Raises TokenInvalidated, ZohoUnavailable, ZohoThrottled, ..."""
        scopes = tuple(self._check(scope) for scope in SCOPES)
        names = self._modules()
        return Report(
            self._token.expires_in,
            self._api_domain,
            scopes,
            organisation=_organisation(self._first("ZohoCRM.org.READ", "org")),
            user=_user(self._first("ZohoCRM.users.READ", "users")),
            modules=None if names is None else len(names),
            module_names=tuple(names or ()),
            credits_left=self._credits,
            clock_ahead=self._clock_ahead,
        )

    def _check(self, scope: Scope) -> ScopeCheck:
        path = _REQUESTS[scope.name]
        if path not in self._seen:
            self._seen[path] = self._try(path, scope)
        state, why = self._seen[path]
        named = self._named(scope)
        if state == "unknown" or (path == _COUNT and state == "missing"):  # one request needs two scopes
            state = named if named != "unknown" else state
        if state == "missing" and scope.name == MODULES_SCOPE and self._some_modules():
            return ScopeCheck(scope, "granted", f"only for {', '.join(self._some_modules())}")
        return ScopeCheck(scope, state, why if state != "granted" else "")

    def _named(self, scope: Scope) -> State:
        """Return what the token response says about a scope; it may name none."""
        if self._token.scopes is None:
            return "unknown"
        return "granted" if any(covers(granted, scope.name) for granted in self._token.scopes) else "missing"

    def _some_modules(self) -> list[str]:
        """Return the scopes of single modules that the token response names."""
        return sorted(
            name
            for name in self._token.scopes or ()
            if covers(MODULES_SCOPE, name) and name.count(".") > _DOTS
        )

    def _try(self, path: str, scope: Scope) -> tuple[State, str]:
        try:
            self._note(path, self._client.request("GET", path, scopes=(scope.name,)))
        except ZohoPermissionDenied as error:
            return ("missing" if error.zoho_code == "OAUTH_SCOPE_MISMATCH" else "unknown"), error.message
        except ZohoNotFound as error:  # the scope is checked first
            return ("granted" if scope.required else "unknown"), error.message
        except ZohoError as error:
            if error.retryable and scope.required:
                raise
            return "unknown", error.message
        return "granted", ""

    def _note(self, path: str, response: ZohoResponse) -> None:
        self._bodies[path] = parse_json(response.body) if response.body else None
        left = whole_number(response.headers.get("X-API-CREDITS-REMAINING"), 12)
        self._credits = self._credits if left is None else left
        with suppress(KeyError, ValueError):
            theirs = parsedate_to_datetime(response.headers["Date"])
            theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
            self._clock_ahead = round((self._system.now() - theirs).total_seconds(), 1)

    def _first(self, scope: str, key: str) -> dict[str, Any]:
        """Return the first object of the array `key` in the response to a scope's request."""
        body = self._bodies.get(_REQUESTS[scope])
        items = body.get(key) if isinstance(body, dict) else None
        found = items[0] if isinstance(items, list) and items else None
        return found if isinstance(found, dict) else {}

    def _modules(self) -> list[str] | None:
        """Return the API names of the modules, or None if they may not be read."""
        body = self._bodies.get(_REQUESTS["ZohoCRM.settings.modules.READ"])
        items = body.get("modules") if isinstance(body, dict) else None
        if not isinstance(items, list):
            return None
        return [
            str(item.get("api_name"))
            for item in items
            if isinstance(item, dict) and item.get("api_supported", True) is True
        ]


def _organisation(org: dict[str, Any]) -> dict[str, Any]:
    licence = org.get("license_details")
    edition = licence.get("paid_type") if isinstance(licence, dict) else None
    return _texts(name=org.get("company_name"), zgid=org.get("zgid"), edition=edition)


def _user(user: dict[str, Any]) -> dict[str, Any]:
    profile = user.get("profile")
    role = profile.get("name") if isinstance(profile, dict) else None
    return _texts(name=user.get("full_name"), email=user.get("email"), profile=role)


def _texts(**values: Any) -> dict[str, str]:
    """Return the values that are strings or numbers, fit to be printed."""
    return {
        name: printable(clean_text(value, 100))
        for name, value in values.items()
        if isinstance(value, str | int) and value
    }
