"""Calls Zoho's CRM API with the access tokens of one connection, and retries where that is safe."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Protocol

import requests

from crm_export import deadline
from crm_export.errors import (
    ConnectionReplaced,
    ExportError,
    ZohoError,
    ZohoThrottled,
    ZohoTokenRejected,
    ZohoTooSlow,
    ZohoUnavailable,
)
from crm_export.redaction import remember
from crm_export.system import MACHINE, System
from crm_export.telemetry import count, gauge
from crm_export.zoho.credits import credits_left, spend
from crm_export.zoho.refusals import error_from, is_about_the_token, is_page
from crm_export.zoho.transport import LONGEST_REQUEST, TIMEOUT, ZohoResponse, chunks, exchange, read, send

_TOKENS = 3  # for one call: from the cache, from another container's refresh, from our own
_RETRIES = 2
_FIRST_PAUSE = 0.4
_LONGEST_WAIT = 3.0  # for a Retry-After; a longer one goes back to the caller
_SECONDS_FOR_A_CALL = 5.0
_SECONDS_TO_CLEAN = 10.0  # of a function's time: to abort an upload and record the failure


class TokenSource(Protocol):
    """Provides the access tokens of one connection."""

    def token(self, rejected: str | None = None) -> str:
        """Return a token that is believed to be valid, and not the one that Zoho has just rejected.

        Raises as `request_access_token`, and ConnectionReplaced if another connection was stored meanwhile:
        after a rejection it is read again.
        """

    def is_own(self, token: str) -> bool:
        """Return True if this process requested the token itself: nobody else's mistake can explain it."""

    def reject_grant(self, token: str) -> ExportError:
        """Return the error for a grant whose own new token Zoho rejects, and mark it if it is dead.

        TokenInvalidated: the account's grants are marked. WrongDataCentre: the token is for another host than
        the connection's, so its rejection says nothing about the grant, and nothing is marked.
        """


def pause_before_retry(
    error: ZohoError,
    method: str,
    attempt: int,
    remaining: float,
    uniform: Callable[[float, float], float] = MACHINE.uniform,
) -> float | None:
    """Return the seconds to wait before attempt + 1 (the first attempt is 1), or None to give up.

    Only a GET is retried, because only a GET changes nothing if Zoho did receive it; only after an outage or
    a short Retry-After; and only if the function has time left for a whole call. The pause has full jitter.
    """
    if method != "GET" or attempt > _RETRIES:
        return None
    pause: float
    if isinstance(error, ZohoThrottled):
        if error.retry_after is None or error.retry_after > _LONGEST_WAIT:
            return None
        pause = error.retry_after + uniform(0, _FIRST_PAUSE)
    elif isinstance(error, ZohoUnavailable):
        pause = uniform(0, _FIRST_PAUSE * 2**attempt)
    else:
        return None
    return pause if remaining - pause > _SECONDS_FOR_A_CALL else None


class ZohoClient:
    """The API of one data centre, with the tokens of one connection.

    metadata: what `zoho.metadata` caches for this connection. successor: returns the client of the connection
    that was stored in place of this one; it gets the request that finds this out.
    """

    def __init__(
        self,
        session: requests.Session,
        api_domain: str,
        tokens: TokenSource,
        system: System = MACHINE,
        successor: "Callable[[], ZohoClient] | None" = None,
    ) -> None:
        self._session = session
        self._api_domain = api_domain
        self._tokens = tokens
        self.system = system
        self._successor = successor
        self.metadata: dict[tuple[str, str], Any] = {}

    def request(self, method: str, path: str, *, scopes: tuple[str, ...] = (), **kwargs: Any) -> ZohoResponse:
        """Send a request and return its response, whose status is below 400. `scopes` are those it needs.

        If Zoho rejects the token, the request is sent again with another one; `_rejected` says what a
        rejected new token means. `pause_before_retry` decides on other retries; token requests are never
        retried, because Zoho issues only 10 in 10 minutes. All of it takes at most 60 seconds, and a second
        less than the function has left: one slow response may use all of that. Raises as `error_from`,
        `exchange` and the TokenSource.
        """
        with deadline.ends_in(min(LONGEST_REQUEST, deadline.remaining())):
            return self._with_token(
                lambda client, auth: client._exchange(method, path, scopes, auth=auth, **kwargs)
            )

    @contextmanager
    def stream(
        self, path: str, *, scopes: tuple[str, ...] = (), timeout: tuple[float, float] = TIMEOUT
    ) -> Iterator[Iterator[bytes]]:
        """GET a body as chunks of bytes. Leaving the context closes the connection.

        Not retried here: the queue delivers the message again after Zoho's Retry-After.
        """
        with self._with_token(
            lambda client, auth: client._open(path, scopes, auth=auth, timeout=timeout)
        ) as response:
            yield chunks(response, spare_seconds=_SECONDS_TO_CLEAN, monotonic=self.system.monotonic)

    def _with_token[T](self, call: "Callable[[ZohoClient, requests.auth.AuthBase], T]") -> T:
        """Call with this client and a token, or, once, with its successor if the connection was replaced."""
        try:
            return self._with_own_token(call)
        except ConnectionReplaced:
            if self._successor is None:
                raise
            successor = self._successor()
        return successor._with_own_token(call)

    def _with_own_token[T](self, call: "Callable[[ZohoClient, requests.auth.AuthBase], T]") -> T:
        """Call with a token; if Zoho rejects it, with another, until a new token of our own is rejected."""
        rejected: str | None = None
        for _ in range(_TOKENS):
            token = self._tokens.token(rejected)
            try:
                return call(self, _ZohoAuth(token))
            except ZohoTokenRejected as error:
                if rejected is not None and self._tokens.is_own(token):
                    raise self._rejected(error, token) from error
                rejected = token
        raise ZohoUnavailable("Zoho rejects the access tokens that other containers have requested.")

    def _rejected(self, error: ZohoTokenRejected, token: str) -> ExportError:
        """Return what it means that Zoho rejects a brand-new token.

        Only Zoho's codes about tokens condemn the grant. Another code is final in its own way, and a response
        without a code is a gateway's, which is retried.
        """
        return error.otherwise or self._tokens.reject_grant(token)

    def _exchange(self, method: str, path: str, scopes: tuple[str, ...], **kwargs: Any) -> ZohoResponse:
        attempt = 1
        while True:
            try:
                return self._exchange_once(method, path, scopes, **kwargs)
            except ZohoError as error:
                left = deadline.remaining()
                pause = pause_before_retry(error, method, attempt, left, uniform=self.system.uniform)
                if pause is None:
                    raise
            self.system.sleep(pause)
            attempt += 1

    def _exchange_once(self, method: str, path: str, scopes: tuple[str, ...], **kwargs: Any) -> ZohoResponse:
        params = kwargs.get("params") or ()
        try:
            response = exchange(self._session, method, self._api_domain + path, system=self.system, **kwargs)
        except ZohoTooSlow:  # Zoho has responded, and charged the call
            spend(method, path, params)
            raise
        is_refused = is_page(response.body) or is_about_the_token(response.body)
        if not is_refused and response.status != HTTPStatus.TOO_MANY_REQUESTS:
            spend(method, path, params)
        if is_refused or not _is_accepted(response.status):
            raise _refusal(response, f"{method} {path}", scopes)
        _record_credits(response.headers)
        return response

    def _open(self, path: str, scopes: tuple[str, ...], **kwargs: Any) -> requests.Response:
        response = send(self._session, "GET", self._api_domain + path, **kwargs)
        content_type = response.headers.get("Content-Type", "")
        is_file = "json" not in content_type and "html" not in content_type
        if _is_accepted(response.status_code) and is_file:
            spend("GET", path)
            return response
        with response:
            try:
                refused = read(response)
            except ZohoError:  # only the status is known
                refused = ZohoResponse(response.status_code, response.headers, b"")
        raise _refusal(refused, f"GET {path}", scopes)


class _ZohoAuth(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        remember(token)
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Zoho-oauthtoken {self._token}"
        return request


def _is_accepted(status: int) -> bool:
    """Return False for a refusal and for a redirect."""
    return status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.NOT_MODIFIED


def _refusal(response: ZohoResponse, what: str, scopes: tuple[str, ...]) -> ZohoError:
    error = error_from(response.status, response.body, response.headers, what, scopes)
    error.date = next((value for name, value in response.headers.items() if name.casefold() == "date"), "")
    if isinstance(error, ZohoThrottled):
        count("ZohoThrottled")
    return error


def _record_credits(headers: Mapping[str, str]) -> None:
    left = credits_left(headers)
    if left is not None:
        gauge("ZohoCreditsRemaining", left)
