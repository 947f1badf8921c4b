"""Whether a call is made again: only where that is safe, and only while there is time."""

import math

import pytest

from crm_export.errors import (
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoThrottled,
    ZohoTimeout,
    ZohoTokenRejected,
    ZohoUnavailable,
)
from crm_export.zoho.client import pause_before_retry


@pytest.mark.parametrize("kind", [ZohoUnavailable, ZohoTimeout])
def test_a_get_that_zoho_failed_is_made_again_twice(kind):
    pauses = [pause_before_retry(kind("x"), "GET", attempt, math.inf) for attempt in (1, 2, 3)]
    assert 0 <= pauses[0] <= 0.8
    assert 0 <= pauses[1] <= 1.6
    assert pauses[2] is None


def test_the_pauses_differ():
    assert len({pause_before_retry(ZohoUnavailable("x"), "GET", 1, math.inf) for _ in range(20)}) > 10


@pytest.mark.parametrize("kind", [ZohoUnavailable, ZohoTimeout, ZohoThrottled])
def test_a_post_is_never_made_again(kind):
    assert pause_before_retry(kind("x", retry_after=1), "POST", 1, math.inf) is None


@pytest.mark.parametrize("kind", [ZohoNotFound, ZohoPermissionDenied, ZohoQueryRefused, ZohoTokenRejected])
def test_a_refusal_is_final(kind):
    assert pause_before_retry(kind("x"), "GET", 1, math.inf) is None


@pytest.mark.parametrize(("retry_after", "waits"), [(1, True), (3, True), (4, False), (None, False)])
def test_a_short_retry_after_is_waited_for_and_a_long_one_is_the_callers(retry_after, waits):
    pause = pause_before_retry(ZohoThrottled("x", retry_after=retry_after), "GET", 1, math.inf)
    assert (pause is not None) == waits
    assert pause is None or pause >= retry_after


@pytest.mark.parametrize(("remaining", "retried"), [(20, True), (5, False), (0, False)])
def test_no_retry_without_time_for_a_whole_call(remaining, retried):
    assert (pause_before_retry(ZohoUnavailable("x"), "GET", 1, remaining) is not None) == retried
