"""An answer of Zoho's becomes an error: by code, then by status, whoever it was that answered."""

import json

import pytest

from crm_export import errors
from crm_export.zoho.responses import error_from


def flat(code):
    return json.dumps({"code": code, "message": "m", "status": "error", "details": {"x": 1}}).encode()


def wrapped(code):
    return json.dumps({"data": [{"code": code, "message": "m", "status": "error"}]}).encode()


@pytest.mark.parametrize("shape", [flat, wrapped])
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "INVALID_TOKEN", errors.ZohoTokenRejected),
        (401, "AUTHENTICATION_FAILURE", errors.ZohoTokenRejected),
        (401, "OAUTH_SCOPE_MISMATCH", errors.ZohoPermissionDenied),
        (403, "NO_PERMISSION", errors.ZohoPermissionDenied),
        (400, "NO_PERMISSION", errors.ZohoPermissionDenied),
        (400, "AUTHORIZATION_FAILED", errors.ZohoPermissionDenied),
        (404, "RESOURCE_NOT_FOUND", errors.ZohoNotFound),
        (400, "RESOURCE_NOT_FOUND", errors.ZohoNotFound),
        (404, "INVALID_URL_PATTERN", errors.ZohoNotFound),
        (429, "TOO_MANY_REQUESTS", errors.ZohoThrottled),
        (400, "TOO_MANY_REQUESTS", errors.ZohoThrottled),
        (500, "INTERNAL_ERROR", errors.ZohoUnavailable),
        (503, "FIELD_NOT_AVAILABLE", errors.ZohoUnavailable),
        (400, "FIELD_NOT_AVAILABLE", errors.ZohoQueryRefused),
        (400, "A_CODE_OF_TOMORROW", errors.ZohoQueryRefused),
    ],
)
def test_a_code_decides(shape, status, code, kind):
    error = error_from(status, shape(code), {}, "GET /x")
    assert type(error) is kind
    assert (error.zoho_code, error.http_status) == (code, status)
    assert code in error.message
    assert "GET /x" in error.message


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b"[]", b"null", b'{"data": []}', b'{"code": 5}', b"[" * 99_999]
)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.ZohoUnavailable),
        (401, errors.ZohoUnavailable),  # not Zoho's API: it must not invalidate anybody's grant
        (404, errors.ZohoUnavailable),
        (403, errors.ZohoPermissionDenied),
        (429, errors.ZohoThrottled),
        (502, errors.ZohoUnavailable),
    ],
)
def test_without_a_code_the_status_decides(status, body, kind):
    error = error_from(status, body, {}, "GET /x")
    assert type(error) is kind
    assert error.zoho_code is None


@pytest.mark.parametrize(("header", "seconds"), [("17", 17), ("soon", 60), ("", 60), ("-1", 60)])
def test_throttling_says_when_to_come_back(header, seconds):
    assert error_from(429, b"", {"Retry-After": header}, "GET /x").retry_after == seconds
