"""The requests.Session that our ZohoClient uses: it calls the organisation, with faults on the way."""

import json
from collections.abc import Callable, Mapping
from http.client import RemoteDisconnected
from random import Random
from types import SimpleNamespace
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

import requests
import urllib3

from simulation.calls import Calls
from simulation.zoho import ACCOUNTS, API_DOMAIN, Zoho
from zoho_simulator import wire

_SECONDS = 0.4
_FIRST_BYTES = (1, 7, 40, 120, 1000)


class Raw:
    """The unread rest of a body. A result takes one call per `size` bytes, in which the function may die.

    size: None for a body that arrives at once. breaks_at: where the connection breaks off.
    """

    def __init__(self, calls: Calls, body: bytes, size: int | None, breaks_at: int | None) -> None:
        self._calls = calls
        self._body = body
        self._size = size
        self._breaks_at = len(body) if breaks_at is None else breaks_at
        self._sent = 0

    def read1(self, amount: int, decode_content: bool) -> bytes:
        """See urllib3's HTTPResponse."""
        if self._size is None:
            body, self._body = self._body, b""
            return body
        if self._sent == self._breaks_at < len(self._body):
            raise urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead")
        end = min(self._sent + self._size, self._breaks_at)
        chunk, self._sent = self._body[self._sent : end], end
        return self._calls.make(f"zoho reads {len(chunk)} bytes", lambda: chunk, seconds=0.1)


class Response:
    """A requests.Response, as far as our transport reads it. delay: seconds that it takes in addition."""

    def __init__(self, response: wire.Response, raw: Raw) -> None:
        self.status_code = int(response.status)
        self.headers = response.headers
        self.delay = response.delay
        self.raw = raw

    def __repr__(self) -> str:
        return f"HTTP {self.status_code}"

    def close(self) -> None:
        """Do nothing: no connection is open."""

    def __enter__(self) -> "Response":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Session:
    """A requests.Session."""

    def __init__(self, zoho: Zoho, calls: Calls, rng: Random) -> None:
        self._zoho = zoho
        self._calls = calls
        self._rng = rng
        self._happens = calls.faults.happens

    def request(
        self,
        method: str,
        url: str,
        *,
        timeout: tuple[float, float],
        auth: Callable[[Any], Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> Response:
        """See requests."""
        where = urlsplit(url)
        assert f"{where.scheme}://{where.netloc}" == (API_DOMAIN if auth else ACCOUNTS), url
        prepared = SimpleNamespace(headers=dict(headers or {}))
        if auth:
            auth(prepared)
        content_type, content = _body(**body)
        prepared.headers["Content-Type"] = content_type
        lowered = {name.lower(): value for name, value in prepared.headers.items()}
        request = wire.Request(method, where.path, params or {}, lowered, content)
        return self._send(f"{method} {where.path}", request, timeout[1])

    def _send(self, what: str, request: wire.Request, timeout: float) -> Response:
        def effect() -> Response:
            return self._received(request, self._zoho.handle(request))

        if self._happens("Zoho closes a kept connection"):
            self._calls.make(f"zoho {what} (closed)", _raise_closed, seconds=0.0)
        if self._happens("Zoho times out"):
            self._time_out(what, timeout)
        if self._happens("Zoho times out after it acted"):
            self._calls.make(f"zoho {what}", effect, seconds=_SECONDS)
            self._time_out(what, timeout)
        response = self._calls.make(f"zoho {what}", effect, seconds=_SECONDS)
        if response.delay > timeout:
            self._time_out(what, timeout)
        self._calls.sleep(response.delay)
        return response

    def _time_out(self, what: str, seconds: float) -> NoReturn:
        self._calls.sleep(seconds)
        self._calls.make(f"zoho {what} (no response)", _raise_timeout, seconds=0.0)
        raise AssertionError

    def _received(self, request: wire.Request, response: wire.Response) -> Response:
        content, size, breaks_at = response.content(), None, None
        if request.path.endswith("/result") and response.status == requests.codes.ok:
            size = self._rng.choice(_FIRST_BYTES) + len(content) // 8
            if content and self._happens("result breaks off"):
                breaks_at = self._rng.randrange(len(content))
        return Response(response, Raw(self._calls, content, size, breaks_at))


def _body(
    *, json: Any = None, data: Mapping[str, str] | None = None, allow_redirects: bool, stream: bool
) -> tuple[str, bytes]:
    if data is not None:
        return "application/x-www-form-urlencoded", urlencode(data).encode()
    return "application/json", b"" if json is None else _dumps(json).encode()


_dumps = json.dumps  # `_body` has an argument of that name


def _raise_closed() -> NoReturn:
    closed = RemoteDisconnected("Remote end closed connection without response")
    raise requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", closed))


def _raise_timeout() -> NoReturn:
    raise requests.ReadTimeout("Read timed out.")
