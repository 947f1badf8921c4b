"""Calls of Zoho's CRM API in the name of one connection."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import requests

from crm_export import deadline
from crm_export.errors import TokenInvalidated, ZohoError, ZohoTokenRejected
from crm_export.zoho.responses import error_from
from crm_export.zoho.retry import pause_before_retry
from crm_export.zoho.transport import TIMEOUT, Answer, chunks, read, send

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


class ZohoClient:
    """The API of one data centre, with the tokens of one connection."""

    def __init__(self, session: requests.Session, api_domain: str, tokens: TokenSource) -> None:
        self._session = session
        self._api_domain = api_domain
        self._tokens = tokens
        self.metadata: dict[tuple[str, str], Any] = {}  # what zoho.fields keeps of this connection

    def request(self, method: str, path: str, **kwargs: Any) -> Answer:
        """Send a request; return its answer below HTTP 400.

        A rejected token is refreshed and the request sent once more; a second rejection raises
        TokenInvalidated. What may be tried again safely, is (`zoho.retry`). Other errors: those of
        `error_from`, `send` and the TokenSource.
        """
        attempt = 1
        while True:
            try:
                with self._with_token(method, path, **kwargs) as response:
                    return read(response)
            except ZohoError as error:
                pause = pause_before_retry(error, method, attempt, deadline.remaining())
                if pause is None:
                    raise
            time.sleep(pause)
            attempt += 1

    def _with_token(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        token = self._tokens.token()
        try:
            return self._send(method, path, token, **kwargs)
        except ZohoTokenRejected:
            self._tokens.discard(token)
        try:
            return self._send(method, path, self._tokens.token(), **kwargs)
        except ZohoTokenRejected as error:
            self._tokens.invalidate()
            raise TokenInvalidated("TOKEN_INVALIDATED") from error

    @contextmanager
    def stream(self, path: str, *, timeout: tuple[float, float] = TIMEOUT) -> Iterator[Iterator[bytes]]:
        """GET a body as chunks of bytes. Leaving the context closes the connection."""
        # Not tried again here: a failed download is a queue's to repeat, after the pause that Zoho wants.
        with self._with_token("GET", path, timeout=timeout) as response:
            yield chunks(response, spare_seconds=_SECONDS_TO_TIDY)

    def _send(
        self, method: str, path: str, token: str, *, timeout: tuple[float, float] = TIMEOUT, **kwargs: Any
    ) -> requests.Response:
        url = self._api_domain + path
        response = send(self._session, method, url, auth=_ZohoAuth(token), timeout=timeout, **kwargs)
        if response.status_code < _BAD_REQUEST:
            return response
        with response:
            raise error_from(
                response.status_code, _error_body(response), response.headers, f"{method} {path}"
            )


def _error_body(response: requests.Response) -> bytes:
    try:
        return read(response).body
    except ZohoError:
        return b""  # the status alone says what it is
