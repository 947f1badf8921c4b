"""Calls of Zoho's CRM API in the name of one connection."""
# Whether a failed call of Zoho is made again within the invocation, and when.

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import requests

from crm_export import deadline
from crm_export.errors import TokenInvalidated, ZohoError, ZohoThrottled, ZohoTokenRejected, ZohoUnavailable
from crm_export.telemetry import count, gauge
from crm_export.zoho.refusals import error_from
from crm_export.zoho.transport import TIMEOUT, Answer, chunks, exchange, read, send

_BAD_REQUEST = 400
_SECONDS_TO_TIDY = 10.0  # of a function's time: to abort an upload and note the failure


class TokenSource(Protocol):
    """Gives the access tokens of one connection."""

    def token(self) -> str:
        """A token believed valid. Raises as `refresh_access_token`."""
        ...

    def discard(self, token: str) -> None:
        """Zoho has rejected this token: do not give it again."""
        ...

    def invalidate(self) -> None:
        """Zoho has rejected a brand-new token: mark the account's grants as invalidated."""
        ...


class _ZohoAuth(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Zoho-oauthtoken {self._token}"
        return request


class _TokenFailed(Exception):
    """No token could be had: not the failure of the call it was for."""

    def __init__(self, error: ZohoError) -> None:
        super().__init__(error.message)
        self.error = error


class ZohoClient:
    """The API of one data centre, with the tokens of one connection."""

    def __init__(self, session: requests.Session, api_domain: str, tokens: TokenSource) -> None:
        self._session = session
        self._api_domain = api_domain
        self._tokens = tokens
        self.metadata: dict[tuple[str, str], Any] = {}  # what zoho.kept keeps of this connection

    def request(self, method: str, path: str, *, scopes: tuple[str, ...] = (), **kwargs: Any) -> Answer:
        """Send a request; return its answer below HTTP 400. `scopes` are those it needs.

        A rejected token is refreshed and the request sent once more; a second rejection raises
        TokenInvalidated. What may be tried again safely, is (`zoho.retry`). Other errors: those of
        `error_from`, `exchange` and the TokenSource.
        """
        attempt = 1
        while True:
            try:
                return self._with_token(partial(self._exchange, method, path, scopes, **kwargs))
            except _TokenFailed as failed:
                raise failed.error from failed  # tokens are few: no more tries here
            except ZohoError as error:
                pause = pause_before_retry(error, method, attempt, deadline.remaining())
                if pause is None:
                    raise
            time.sleep(pause)
            attempt += 1

    @contextmanager
    def stream(
        self, path: str, *, scopes: tuple[str, ...] = (), timeout: tuple[float, float] = TIMEOUT
    ) -> Iterator[Iterator[bytes]]:
        """GET a body as chunks of bytes. Leaving the context closes the connection.

        Not tried again here: a failed download is a queue's to repeat, after the pause that Zoho wants.
        """
        try:
            response = self._with_token(partial(self._open, path, scopes, timeout=timeout))
        except _TokenFailed as failed:
            raise failed.error from failed
        with response:
            yield chunks(response, spare_seconds=_SECONDS_TO_TIDY)

    def _with_token[T](self, call: Callable[[_ZohoAuth], T]) -> T:
        token = self._token()
        try:
            return call(_ZohoAuth(token))
        except ZohoTokenRejected:
            self._tokens.discard(token)
        try:
            return call(_ZohoAuth(self._token()))
        except ZohoTokenRejected as error:
            self._tokens.invalidate()
            raise TokenInvalidated("TOKEN_INVALIDATED") from error

    def _token(self) -> str:
        try:
            return self._tokens.token()
        except ZohoError as error:
            raise _TokenFailed(error) from error

    def _exchange(
        self, method: str, path: str, scopes: tuple[str, ...], auth: _ZohoAuth, **kwargs: Any
    ) -> Answer:
        answer = exchange(self._session, method, self._api_domain + path, auth=auth, **kwargs)
        if answer.status >= _BAD_REQUEST:
            raise _refusal(answer, f"{method} {path}", scopes)
        _note_credits(answer.headers)
        return answer

    def _open(
        self, path: str, scopes: tuple[str, ...], auth: _ZohoAuth, *, timeout: tuple[float, float]
    ) -> requests.Response:
        response = send(self._session, "GET", self._api_domain + path, auth=auth, timeout=timeout)
        if response.status_code < _BAD_REQUEST and "json" not in response.headers.get("Content-Type", ""):
            return response
        with response:
            try:
                answer = read(response)
            except ZohoError:  # the status alone says what it is
                answer = Answer(response.status_code, response.headers, b"")
            raise _refusal(answer, f"GET {path}", scopes)


def _refusal(answer: Answer, what: str, scopes: tuple[str, ...]) -> ZohoError:
    error = error_from(answer.status, answer.body, answer.headers, what, scopes)
    if isinstance(error, ZohoThrottled):
        count("ZohoThrottled")
    return error


def _note_credits(headers: Mapping[str, str]) -> None:
    """Zoho tells the API credits left of its rolling 24 hours once half of them are used."""
    left = headers.get("X-API-CREDITS-REMAINING", "")
    if left.isascii() and left.isdigit():
        gauge("ZohoCreditsRemaining", int(left[:12]))


_RETRIES = 2
_FIRST_PAUSE = 0.4
_LONGEST_WAIT = 3.0  # for a Retry-After; longer ones are the caller's to wait
_TIME_FOR_A_CALL = 5.0


def pause_before_retry(error: ZohoError, method: str, attempt: int, remaining: float) -> float | None:
    """Seconds to wait before attempt + 1 (the first is 1), or None to give up.

    Only a GET is made again, as only it changes nothing when Zoho did take it; only where Zoho failed or
    named a short Retry-After; and only while time is left for a whole call. The pause has full jitter.
    """
    if method != "GET" or attempt > _RETRIES:
        return None
    pause: float
    if isinstance(error, ZohoThrottled):
        if error.retry_after is None or error.retry_after > _LONGEST_WAIT:
            return None
        pause = error.retry_after + random.uniform(0, _FIRST_PAUSE)  # noqa: S311 # nosec B311 # spreads the load
    elif isinstance(error, ZohoUnavailable):
        pause = random.uniform(0, _FIRST_PAUSE * 2**attempt)  # noqa: S311 # nosec B311 # spreads the load
    else:
        return None
    return pause if remaining - pause > _TIME_FOR_A_CALL else None
