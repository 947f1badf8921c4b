"""What calls cost, and who is told."""

from threading import Thread

import pytest

from crm_export import telemetry
from crm_export.zoho.credits import credits_of, metering, spend


@pytest.mark.parametrize(
    ("method", "path", "params", "cost"),
    [
        ("POST", "/crm/bulk/v8/read", (), 50),
        ("GET", "/crm/bulk/v8/read/1", (), 1),
        ("GET", "/crm/bulk/v8/read/1/result", (), 1),
        ("GET", "/crm/v8/Contacts", {"fields": "id"}, 1),
        ("GET", "/crm/v8/Contacts", {"cvid": "7"}, 3),
        ("GET", "/crm/v8/Contacts/deleted", {"page": "1"}, 2),
        ("GET", "/crm/v8/Contacts/actions/count", (), 1),
        ("GET", "/crm/v8/settings/fields", {"module": "Contacts"}, 1),
    ],
)
def test_calls_cost_what_zohos_price_list_says(method, path, params, cost):
    assert credits_of(method, path, params) == cost


def test_meters_count_what_was_spent_in_their_blocks():
    spend("GET", "/before")
    with metering() as outer:
        spend("GET", "/a")
        with metering() as inner:
            spend("POST", "/crm/bulk/v8/read")
        spend("GET", "/b/deleted")
    spend("GET", "/after")
    assert (outer.credits, inner.credits) == (53, 50)


def test_meter_keeps_its_sum_if_the_block_fails():
    with pytest.raises(KeyError), metering() as meter:
        spend("GET", "/a")
        raise KeyError
    with metering():
        spend("GET", "/b")
    assert meter.credits == 1


def test_meter_does_not_count_the_calls_of_another_thread():
    with metering() as meter:
        thread = Thread(target=spend, args=("GET", "/of-another-part"))
        thread.start()
        thread.join()
    assert meter.credits == 0


def test_credits_spent_are_a_metric():
    telemetry.metrics().metric_set.clear()
    spend("POST", "/crm/bulk/v8/read")
    spend("GET", "/a")
    assert telemetry.metrics().metric_set.pop("ZohoCreditsSpent")["Value"] == [50.0, 1.0]
