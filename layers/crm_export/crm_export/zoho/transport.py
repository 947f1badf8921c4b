"""Sends one request to Zoho: within the time that is left, without redirects, failures as our errors.

Called by `ZohoClient` (the CRM API) and `oauth` (the token endpoint).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import RemoteDisconnected
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from crm_export import PRODUCT, deadline
from crm_export.errors import ZohoTimeout, ZohoTooSlow, ZohoUnavailable
from crm_export.system import MACHINE, System

# The longest request: less than a lease on a part has left when a call begins (75 of 90 seconds).
LONGEST_REQUEST = 60.0
TIMEOUT = (3.05, LONGEST_REQUEST)  # seconds to connect, and between two reads
# Kept back from the function's time, so that a timeout becomes our response and not a dead function.
_SECONDS_TO_RESPOND = 1.0
_LARGEST_BODY = 32 * 1024 * 1024  # 200 records are far below; a stream has no limit
_CHUNK_BYTES = 256 * 1024
# A response that arrives more slowly than this, in bytes per second, is stuck: it would only hold its place.
_SLOWEST, _MEASURED_SECONDS = 1_000, 60


@dataclass(frozen=True)
class ZohoResponse:
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def make_session() -> requests.Session:
    """Return a session that uses neither this machine's proxies nor its .netrc."""
    session = requests.Session()
    session.trust_env = False
    session.headers["User-Agent"] = PRODUCT
    return session


def send(
    session: requests.Session,
    method: str,
    url: str,
    *,
    timeout: tuple[float, float] = TIMEOUT,
    repeatable: bool = False,
    **kwargs: Any,
) -> requests.Response:
    """Send one request and return its response with the body unread. The caller closes the response.

    Redirects are returned, not followed: following one would send the token elsewhere. A `repeatable` request
    is sent again, on a new connection, if its connection was closed before a response began, as happens to
    a connection that was kept too long. Raises ZohoTimeout, or ZohoUnavailable if no response came.
    """
    host = urlsplit(url).netloc
    left = _seconds_left(host)
    limits = (min(timeout[0], left), min(timeout[1], left))
    request = partial(
        session.request, method, url, timeout=limits, allow_redirects=False, stream=True, **kwargs
    )
    try:
        try:
            return request()
        except requests.ConnectionError as error:
            if not (repeatable and _closed_before_a_response(error)):
                raise
            return request()  # urllib3 opens a new connection in place of one that failed
    except requests.Timeout as error:
        raise ZohoTimeout(f"Zoho ({host}) did not respond in time.") from error
    except requests.RequestException as error:
        raise ZohoUnavailable(f"Zoho ({host}) could not be reached: {type(error).__name__}.") from error


def _closed_before_a_response(error: requests.ConnectionError) -> bool:
    """Return True if the server closed or reset the connection instead of responding."""
    cause = error.args[0] if error.args else None
    reason = cause.args[-1] if isinstance(cause, urllib3.exceptions.ProtocolError) else None
    return isinstance(reason, RemoteDisconnected | ConnectionResetError | BrokenPipeError)


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    longest: float = LONGEST_REQUEST,
    largest_body: int = _LARGEST_BODY,
    system: System = MACHINE,
    **kwargs: Any,
) -> ZohoResponse:
    """Send one request and read its response within `longest` seconds and a second before the function ends.

    Raises as `send` and `chunks` do. The work runs in a thread, because a socket's timeout starts again with
    every byte: a server that sends slowly enough would never reach it.
    """
    host = urlsplit(url).netloc
    limit = min(longest, _seconds_left(host))
    kwargs.setdefault("timeout", (TIMEOUT[0], limit))
    outcome: SimpleQueue[ZohoResponse | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            with send(session, method, url, **kwargs) as response:
                outcome.put(read(response, largest_body))
        except BaseException as error:  # raised again in the thread that waits for it
            outcome.put(error)

    system.start_thread(run)
    try:
        result = outcome.get(timeout=limit)
    except Empty:
        raise ZohoTimeout(f"Zoho ({host}) did not respond completely within {limit:.0f} seconds.") from None
    if isinstance(result, BaseException):
        raise result
    return result


def read(response: requests.Response, largest_body: int = _LARGEST_BODY) -> ZohoResponse:
    """Read a response to its end. Raises as `chunks`, and ZohoUnavailable for a body above `largest_body`."""
    body = bytearray()
    for chunk in chunks(response):
        body += chunk
        if len(body) > largest_body:
            raise ZohoUnavailable(f"Zoho's response is larger than {largest_body} bytes.")
    return ZohoResponse(response.status_code, response.headers, bytes(body))


def chunks(
    response: requests.Response,
    *,
    spare_seconds: float = _SECONDS_TO_RESPOND,
    monotonic: Callable[[], float] = MACHINE.monotonic,
) -> Iterator[bytes]:
    """Yield a body as it arrives, without collecting small pieces.

    Raises ZohoTimeout if a pause is too long or if, in a minute of waiting, less than 1,000 bytes per second
    arrive; ZohoTooSlow if less than `spare_seconds` of the function's time are left; and ZohoUnavailable if
    the body ends early.
    """
    waited, received = 0.0, 0
    try:
        while True:
            began = monotonic()
            chunk = response.raw.read1(_CHUNK_BYTES, decode_content=True)
            waited += monotonic() - began
            if not chunk:
                return
            yield chunk
            if deadline.remaining() < spare_seconds:
                raise ZohoTooSlow("Zoho sends too slowly: the function's time is used up.")
            received += len(chunk)
            if waited >= _MEASURED_SECONDS:
                if received < _SLOWEST * waited:
                    raise ZohoTimeout(f"Zoho sent only {received} bytes in {waited:.0f} seconds.")
                waited, received = 0.0, 0
    except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
        raise ZohoTimeout("Zoho stopped sending in the middle of a response.") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ZohoUnavailable(f"Zoho's response ended early: {type(error).__name__}.") from error


def _seconds_left(host: str) -> float:
    left = deadline.remaining() - _SECONDS_TO_RESPOND
    if left <= 0:
        raise ZohoTimeout(f"No time was left to call Zoho ({host}).")
    return left
