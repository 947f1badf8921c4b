"""One way to send a request to Zoho: with timeouts, without redirects, failures as our errors."""

from collections.abc import Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from crm_export import PRODUCT, deadline
from crm_export.errors import ZohoTimeout, ZohoUnavailable

# Seconds to connect, and between two bytes. Token and call together stay under API Gateway's 30.
TIMEOUT = (3.05, 10.0)
# Kept back from a function's time, so that a timeout becomes an answer and not a dead function.
_SECONDS_TO_ANSWER = 1.0
_LONGEST_EXCHANGE = 25.0
_LARGEST_ANSWER = 32 * 1024 * 1024  # 200 records are far below; a stream has no limit
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Answer:
    """An answer read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def make_session() -> requests.Session:
    """A session that sends nothing of the machine's own: no proxies, no .netrc."""
    session = requests.Session()
    session.trust_env = False
    session.headers["User-Agent"] = PRODUCT
    return session


def send(
    session: requests.Session, method: str, url: str, *, timeout: tuple[float, float] = TIMEOUT, **kwargs: Any
) -> requests.Response:
    """Send one request; the body is still to be read. The caller closes the response.

    Raises ZohoTimeout, or ZohoUnavailable when no answer or a redirect came. Zoho documents no
    redirects, and following one would carry the token elsewhere.
    """
    host = urlsplit(url).netloc
    left = deadline.remaining() - _SECONDS_TO_ANSWER
    if left <= 0:
        raise ZohoTimeout(f"No time was left to ask Zoho ({host}).")
    limits = (min(timeout[0], left), min(timeout[1], left))
    try:
        response = session.request(method, url, timeout=limits, allow_redirects=False, stream=True, **kwargs)
    except requests.Timeout as error:
        raise ZohoTimeout(f"Zoho ({host}) did not answer in time.") from error
    except requests.RequestException as error:
        raise ZohoUnavailable(f"Zoho ({host}) could not be reached: {type(error).__name__}.") from error
    if response.is_redirect:
        response.close()
        raise ZohoUnavailable(
            f"Zoho ({host}) answered with a redirect (HTTP {response.status_code}); none is followed."
        )
    return response


def exchange(session: requests.Session, method: str, url: str, **kwargs: Any) -> Answer:
    """Send one request and read its answer, headers and body within the function's time and 25 seconds.

    Raises as `send` and `chunks`. A thread does it, as a socket's timeout begins anew with every byte.
    """
    host, limit = urlsplit(url).netloc, min(_LONGEST_EXCHANGE, deadline.remaining() - _SECONDS_TO_ANSWER)
    if limit <= 0:
        raise ZohoTimeout(f"No time was left to ask Zoho ({host}).")
    outcome: SimpleQueue[Answer | BaseException] = SimpleQueue()
    context = copy_context()

    def call() -> Answer:
        with send(session, method, url, **kwargs) as response:
            return read(response)

    def run() -> None:
        try:
            outcome.put(context.run(call))
        except BaseException as error:  # it is raised again where it was waited for
            outcome.put(error)

    Thread(target=run, daemon=True).start()
    try:
        found = outcome.get(timeout=limit)
    except Empty:
        raise ZohoTimeout(f"Zoho ({host}) did not answer whole in {limit:.0f} seconds.") from None
    if isinstance(found, BaseException):
        raise found
    return found


def read(response: requests.Response) -> Answer:
    """Read an answer to its end; one that is far too large is none of Zoho's API."""
    body = bytearray()
    for chunk in chunks(response, spare_seconds=_SECONDS_TO_ANSWER):
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise ZohoUnavailable(f"Zoho's answer is larger than {_LARGEST_ANSWER} bytes.")
    return Answer(response.status_code, response.headers, bytes(body))


def chunks(response: requests.Response, *, spare_seconds: float) -> Iterator[bytes]:
    """A body as it arrives; a trickle is given on as such, so that time and leases can be looked after.

    Raises ZohoTimeout for a pause that is too long, or when less than spare_seconds are left for all the
    rest; ZohoUnavailable when the body breaks off.
    """
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            yield chunk
            if deadline.remaining() < spare_seconds:
                raise ZohoTimeout("Zoho sends too slowly: the function's time is over.")
    except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
        raise ZohoTimeout("Zoho stopped sending in the middle of an answer.") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ZohoUnavailable(f"Zoho broke an answer off: {type(error).__name__}.") from error
