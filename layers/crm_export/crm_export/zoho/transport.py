"""Sends one request to Zoho: with timeouts, without redirects, failures as our errors.

Called by `ZohoClient` (the CRM API) and `oauth` (the token endpoint).
"""

from collections.abc import Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from crm_export import PRODUCT, deadline
from crm_export.errors import ZohoTimeout, ZohoUnavailable
from crm_export.system import MACHINE, System

# Seconds to connect, and between two reads. A token request and a call together stay below API Gateway's 30.
TIMEOUT = (3.05, 10.0)
# Kept back from the function's time, so that a timeout becomes our response and not a dead function.
_SECONDS_TO_RESPOND = 1.0
_LONGEST_EXCHANGE = 25.0
_LARGEST_BODY = 32 * 1024 * 1024  # 200 records are far below; a stream has no limit
_CHUNK_BYTES = 256 * 1024


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
    session: requests.Session, method: str, url: str, *, timeout: tuple[float, float] = TIMEOUT, **kwargs: Any
) -> requests.Response:
    """Send one request and return its response with the body unread. The caller closes the response.

    Raises ZohoTimeout, or ZohoUnavailable if no response or a redirect came. Zoho documents no redirects,
    and following one would send the token elsewhere.
    """
    host = urlsplit(url).netloc
    left = _seconds_left(host)
    limits = (min(timeout[0], left), min(timeout[1], left))
    try:
        response = session.request(method, url, timeout=limits, allow_redirects=False, stream=True, **kwargs)
    except requests.Timeout as error:
        raise ZohoTimeout(f"Zoho ({host}) did not respond in time.") from error
    except requests.RequestException as error:
        raise ZohoUnavailable(f"Zoho ({host}) could not be reached: {type(error).__name__}.") from error
    if response.is_redirect:
        response.close()
        raise ZohoUnavailable(
            f"Zoho ({host}) responded with a redirect (HTTP {response.status_code}), which is never followed."
        )
    return response


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    largest_body: int = _LARGEST_BODY,
    system: System = MACHINE,
    **kwargs: Any,
) -> ZohoResponse:
    """Send one request and read its response within 25 seconds, and a second before the function's end.

    Raises as `send` and `chunks` do. The work runs in a thread, because a socket's timeout starts again with
    every byte: a server that sends slowly enough would never reach it.
    """
    host = urlsplit(url).netloc
    limit = min(_LONGEST_EXCHANGE, _seconds_left(host))
    outcome: SimpleQueue[ZohoResponse | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            with send(session, method, url, **kwargs) as response:
                outcome.put(read(response, largest_body))
        except BaseException as error:  # raised again in the thread that waits for it
            outcome.put(error)

    system.start_thread(partial(copy_context().run, run))
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


def chunks(response: requests.Response, *, spare_seconds: float = _SECONDS_TO_RESPOND) -> Iterator[bytes]:
    """Yield a body as it arrives, without collecting small pieces: the caller renews a lease between them.

    Raises ZohoTimeout if a pause is too long or if less than `spare_seconds` of the function's time are
    left; ZohoUnavailable if the body ends early.
    """
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            yield chunk
            if deadline.remaining() < spare_seconds:
                raise ZohoTimeout("Zoho sends too slowly: the function's time is used up.")
    except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
        raise ZohoTimeout("Zoho stopped sending in the middle of a response.") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ZohoUnavailable(f"Zoho's response ended early: {type(error).__name__}.") from error


def _seconds_left(host: str) -> float:
    left = deadline.remaining() - _SECONDS_TO_RESPOND
    if left <= 0:
        raise ZohoTimeout(f"No time was left to call Zoho ({host}).")
    return left
