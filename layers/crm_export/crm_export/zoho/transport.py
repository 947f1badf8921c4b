"""One way to send a request to Zoho: with timeouts, without redirects, failures as our errors."""

from typing import Any
from urllib.parse import urlsplit

import requests

from crm_export import deadline
from crm_export.errors import ZohoTimeout, ZohoUnavailable

# Seconds to connect, and between two bytes. Token and call together stay under API Gateway's 30.
TIMEOUT = (3.05, 10.0)
# Kept back from a function's time, so that a timeout becomes an answer and not a dead function.
_SECONDS_TO_ANSWER = 1.0


def make_session() -> requests.Session:
    """A session that sends nothing of the machine's own: no proxies, no .netrc."""
    session = requests.Session()
    session.trust_env = False
    session.headers["User-Agent"] = "zoho-crm-export"
    return session


def send(
    session: requests.Session,
    method: str,
    url: str,
    *,
    timeout: tuple[float, float] = TIMEOUT,
    **kwargs: Any,
) -> requests.Response:
    """Send one request. Raises ZohoTimeout, or ZohoUnavailable when no answer or a redirect came.

    Zoho documents no redirects, and following one would carry the token elsewhere.
    """
    host = urlsplit(url).netloc
    left = deadline.remaining() - _SECONDS_TO_ANSWER
    if left <= 0:
        raise ZohoTimeout(f"No time was left to ask Zoho ({host}).")
    limits = (min(timeout[0], left), min(timeout[1], left))
    try:
        response = session.request(method, url, timeout=limits, allow_redirects=False, **kwargs)
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
