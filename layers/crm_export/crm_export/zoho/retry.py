"""Whether a failed call of Zoho is made again within the invocation, and when."""

import random

from crm_export.errors import ZohoError, ZohoThrottled, ZohoUnavailable

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
