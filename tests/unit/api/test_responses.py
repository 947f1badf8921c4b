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


def test_size_of_a_response_counts_the_characters_that_lambda_escapes():
    assert len(success("m", "x" * 5_900_000).body) > 5_900_000
    for text in ('"' * 1_500_000, "\\" * 1_500_000, "\n" * 2_000_000):
        with pytest.raises(errors.InvalidRequest, match="Lower limit"):
            success("m", text)


def test_lone_surrogate_is_escaped_and_other_characters_are_not():
    body = success("m", ["a\ud800", "é😀\u2028"]).body
    assert body == '{"success":true,"message":"m","data":["a\\ud800","é😀\u2028"]}'
    assert json.loads(body)["data"] == ["a\ud800", "é😀\u2028"]


def test_value_that_is_nested_too_deeply_is_refused():
    nested = []
    for _ in range(5_000):
        nested = [nested]
    with pytest.raises(errors.ZohoUnavailable, match="nested too deeply"):
        success("m", nested)


@pytest.mark.parametrize(
    ("error", "level"), [(errors.ZohoUnavailable("down"), "ERROR"), (errors.InvalidRequest("bad"), "INFO")]
)
def test_only_an_error_of_the_server_is_logged_as_one(error, level, caplog):
    caplog.set_level("INFO")
    error_response(error, "r")
    assert [record.levelname for record in caplog.records] == [level]
