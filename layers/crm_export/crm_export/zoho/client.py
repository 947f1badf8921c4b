"""Calls of Zoho's CRM API in the name of one connection."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import requests

from crm_export import deadline
from crm_export.errors import TokenInvalidated, ZohoError, ZohoTimeout, ZohoTokenRejected, ZohoUnavailable
from crm_export.zoho.responses import error_from
from crm_export.zoho.retry import pause_before_retry
from crm_export.zoho.transport import TIMEOUT, send

_BAD_REQUEST = 400
_CHUNK_BYTES = 256 * 1024


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

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Send a request; return its answer below HTTP 400.

        A rejected token is refreshed and the request sent once more; a second rejection raises
        TokenInvalidated. What may be tried again safely, is (`zoho.retry`). Other errors: those of
        `error_from`, `send` and the TokenSource.
        """
        attempt = 1
        while True:
            try:
                return self._with_token(method, path, **kwargs)
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
        with self._with_token("GET", path, stream=True, timeout=timeout) as response:
            yield _chunks(response)

    def _send(
        self,
        method: str,
        path: str,
        token: str,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        **kwargs: Any,
    ) -> requests.Response:
        url = self._api_domain + path
        response = send(self._session, method, url, auth=_ZohoAuth(token), timeout=timeout, **kwargs)
        if response.status_code >= _BAD_REQUEST:
            with response:
                raise error_from(response.status_code, _body(response), response.headers, f"{method} {path}")
        return response


def _body(response: requests.Response) -> bytes:
    try:
        return response.content
    except requests.RequestException:
        return b""  # the status alone says what it is


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_CHUNK_BYTES)
    except requests.Timeout as error:
        raise ZohoTimeout("Zoho stopped sending in the middle of a result.") from error
    except requests.RequestException as error:
        # requests raises ConnectionError for a read timeout within a body, too.
        raise ZohoUnavailable(f"Zoho broke a result off: {type(error).__name__}.") from error
