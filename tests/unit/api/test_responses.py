"""The envelope of an error, and how it is logged."""

import json

import pytest

from crm_export import errors
from crm_export.api.responses import error_response, success


def test_retry_after_is_at_least_a_second():
    response = error_response(errors.ZohoThrottled("slow down", retry_after=0), "r")
    assert response.headers["Retry-After"] == "1"


def test_size_of_a_response_is_measured_in_bytes():
    with pytest.raises(errors.InvalidRequest, match="Lower limit, or name fewer fields"):
        success("m", "\u20ac" * 2_000_000)


def test_malformed_connection_is_502():
    response = error_response(errors.ConnectionMalformed("no token"), "r")
    assert (response.status_code, json.loads(response.body)["errno"]) == (502, 502)


@pytest.mark.parametrize("kind", [errors.PagingBroken, errors.ResultError, errors.ZohoResponseInvalid])
def test_fault_of_zoho_is_502(kind):
    response = error_response(kind("Zoho lists no next page"), "r")
    assert (response.status_code, json.loads(response.body)["errno"]) == (502, 502)


@pytest.mark.parametrize(
    ("error", "level"), [(errors.ZohoUnavailable("down"), "ERROR"), (errors.InvalidRequest("bad"), "INFO")]
)
def test_only_an_error_of_the_server_is_logged_as_one(error, level, caplog):
    caplog.set_level("INFO")
    error_response(error, "r")
    assert [record.levelname for record in caplog.records] == [level]
