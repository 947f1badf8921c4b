"""An answer of Zoho's becomes an error: by code, then by status, whoever it was that answered."""

import json

import pytest

from crm_export import errors
from crm_export.api.responses import error_answer
from crm_export.zoho.refusals import MEANINGS, error_from

# Zoho's documentation of Bulk Read and of records: HTTP status, code; then what we make of it.
DOCUMENTED = [
    (401, "INVALID_TOKEN", errors.ZohoTokenRejected, 502),  # refreshed first; TokenInvalidated if again
    (401, "AUTHENTICATION_FAILURE", errors.ZohoTokenRejected, 502),
    (401, "OAUTH_SCOPE_MISMATCH", errors.ZohoPermissionDenied, 403),
    (403, "NO_PERMISSION", errors.ZohoPermissionDenied, 403),
    (400, "NO_PERMISSION", errors.ZohoPermissionDenied, 403),
    (500, "NO_PERMISSION", errors.ZohoPermissionDenied, 403),
    (400, "AUTHORIZATION_FAILED", errors.ZohoPermissionDenied, 403),
    (403, "NOT_SUPPORTED", errors.ZohoPermissionDenied, 403),
    (400, "NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (429, "TOO_MANY_REQUESTS", errors.ZohoThrottled, 429),
    (400, "TOO_MANY_REQUESTS", errors.ZohoThrottled, 429),
    (503, "TOO_MANY_REQUESTS", errors.ZohoThrottled, 429),
    (500, "INTERNAL_ERROR", errors.ZohoUnavailable, 502),
    (400, "INTERNAL_ERROR", errors.ZohoUnavailable, 502),
    (500, "INTERNAL_SERVER_ERROR", errors.ZohoUnavailable, 502),
    (400, "CALLBACK_FAILURE", errors.ZohoUnavailable, 502),
    (404, "RESOURCE_NOT_FOUND", errors.ZohoNotFound, 502),
    (400, "RESOURCE_NOT_FOUND", errors.ZohoNotFound, 502),
    (400, "MODULE_NOT_AVAILABLE", errors.ZohoModuleNotSupported, 422),
    (400, "MODULE_NOT_SUPPORTED", errors.ZohoModuleNotSupported, 422),
    (503, "MODULE_NOT_AVAILABLE", errors.ZohoUnavailable, 502),
    (400, "INVALID_MODULE", errors.ZohoQueryRefused, 422),
    (400, "FIELD_NOT_AVAILABLE", errors.ZohoFieldRefused, 422),
    (503, "FIELD_NOT_AVAILABLE", errors.ZohoUnavailable, 502),
    (400, "FIELD_NOT_SUPPORTED", errors.ZohoFieldRefused, 422),
    (400, "PAGE_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "PAGE_RANGE_EXCEEDED", errors.ZohoPageRangeExceeded, 422),
    (400, "PAGINATION_LIMIT_EXCEEDED", errors.ZohoPaginationLimit, 422),
    (400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED", errors.ZohoQueryRefused, 422),
    (400, "EXPIRED_VALUE", errors.ZohoPageTokenExpired, 422),
    (500, "EXPIRED_VALUE", errors.ZohoUnavailable, 502),
    (400, "TOKEN_BOUND_DATA_MISMATCH", errors.ZohoQueryRefused, 422),
    (400, "CRITERIA_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "INVALID_CRITERIA", errors.ZohoQueryRefused, 422),
    (400, "AMBIGUOUS_CRITERIA", errors.ZohoQueryRefused, 422),
    (500, "AMBIGUOUS_CRITERIA", errors.ZohoQueryRefused, 422),
    (400, "AMBIGUOUS_GROUP_IN_CRITERIA", errors.ZohoQueryRefused, 422),
    (400, "CRITERIA_LIMIT_EXCEEDED", errors.ZohoQueryRefused, 422),
    (400, "VALUE_LIMIT_EXCEEDED_IN_CRITERIA", errors.ZohoQueryRefused, 422),
    (400, "GROUP_OPERATOR_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "FIELD_IN_CRITERIA_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "FIELD_IN_CRITERIA_NOT_AVAILABLE", errors.ZohoQueryRefused, 422),
    (400, "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE", errors.ZohoQueryRefused, 422),
    (400, "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", errors.ZohoQueryRefused, 422),
    (400, "VALUE_IN_CRITERIA_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", errors.ZohoQueryRefused, 422),
    (400, "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE", errors.ZohoQueryRefused, 422),
    (400, "QUERY_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "INVALID_QUERY", errors.ZohoQueryRefused, 422),
    (400, "JOIN_LIMIT_EXCEEDED", errors.ZohoQueryRefused, 422),
    (400, "CVID_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "VALUE_TYPE_NOT_SUPPORTED", errors.ZohoQueryRefused, 422),
    (400, "NOT_SUPPORTED_FEATURE", errors.ZohoQueryRefused, 422),
    (400, "INVALID_REQUEST", errors.ZohoQueryRefused, 422),
    (400, "INVALID_DATA", errors.ZohoQueryRefused, 422),
    (404, "INVALID_DATA", errors.ZohoQueryRefused, 422),
    (400, "LIMIT_EXCEEDED", errors.ZohoQueryRefused, 422),
    (400, "PATTERN_NOT_MATCHED", errors.ZohoQueryRefused, 422),
    (400, "AMBIGUITY_DURING_PROCESSING", errors.ZohoQueryRefused, 422),
    (400, "UNABLE_TO_PARSE_DATA_TYPE", errors.ZohoQueryRefused, 422),
    (415, "MEDIA_TYPE_NOT_SUPPORTED", errors.ZohoRequestMalformed, 502),
    (400, "REQUEST_BODY_NOT_READABLE", errors.ZohoRequestMalformed, 502),
    (400, "REQUEST_BODY_IS_EMPTY", errors.ZohoRequestMalformed, 502),
    (400, "REQUEST_BODY_NOT_SUPPORTED", errors.ZohoRequestMalformed, 502),
    (400, "REQUIRED_PARAM_MISSING", errors.ZohoRequestMalformed, 502),
    (400, "INVALID_REQUEST_METHOD", errors.ZohoRequestMalformed, 502),
    (400, "INVALID_BULK_OPERATION", errors.ZohoRequestMalformed, 502),
    (400, "INVALID_SERVICE_NAME", errors.ZohoRequestMalformed, 502),
    (404, "INVALID_URL_PATTERN", errors.ZohoRequestMalformed, 502),
    (503, "INVALID_URL_PATTERN", errors.ZohoUnavailable, 502),
    (400, "JOB_NOT_SUPPORTED", errors.ZohoRequestMalformed, 502),
    (400, "INVALID_CALLBACK_URL", errors.ZohoRequestMalformed, 502),
    (400, "INVALID_CALLBACK_METHOD", errors.ZohoRequestMalformed, 502),
    (404, "API_NOT_SUPPORTED", errors.ZohoRequestMalformed, 502),
    (400, "INVALID_HOST", errors.ZohoRequestMalformed, 502),
]
# Not documented for our calls: PERMISSION_DENIED is seen all the same, the last one is tomorrow's.
OTHERS = [
    (403, "PERMISSION_DENIED", errors.ZohoPermissionDenied, 403),
    (500, "INVALID_TOKEN", errors.ZohoUnavailable, 502),  # an outage must not cost anybody's grant
    (400, "A_CODE_OF_TOMORROW", errors.ZohoQueryRefused, 422),
    (401, "A_CODE_OF_TOMORROW", errors.ZohoPermissionDenied, 403),
    (404, "A_CODE_OF_TOMORROW", errors.ZohoNotFound, 502),
    (429, "A_CODE_OF_TOMORROW", errors.ZohoThrottled, 429),
    (500, "A_CODE_OF_TOMORROW", errors.ZohoUnavailable, 502),
]


def flat(code):
    return json.dumps({"code": code, "message": "m", "status": "error", "details": {"x": 1}}).encode()


def wrapped(code):
    return json.dumps({"data": [{"code": code, "message": "m", "status": "error"}]}).encode()


def test_every_documented_code_has_a_meaning_and_no_other():
    assert set(MEANINGS) == {code for _, code, *_ in DOCUMENTED} | {"PERMISSION_DENIED"}


@pytest.mark.parametrize("shape", [flat, wrapped])
@pytest.mark.parametrize(("status", "code", "kind", "answer"), DOCUMENTED + OTHERS)
def test_a_code_decides(shape, status, code, kind, answer):
    error = error_from(status, shape(code), {}, "GET /x")
    assert type(error) is kind
    assert (error.zoho_code, error.http_status) == (code, status)
    assert f"GET /x with HTTP {status} ({code}: m" in error.message
    assert error.as_failure()["remedy"] or kind is errors.ZohoTokenRejected
    told = error_answer(error, "request-1")
    assert told.status_code == answer
    assert json.loads(told.body)["zoho_code"] == code


@pytest.mark.parametrize(("status", "code", "kind", "_answer"), DOCUMENTED)
def test_only_what_time_may_mend_is_tried_again(status, code, kind, _answer):
    error = error_from(status, flat(code), {}, "GET /x")
    mends = (errors.ZohoThrottled, errors.ZohoUnavailable, errors.ZohoNotFound)
    assert error.retryable is issubclass(kind, mends)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("INVALID_CALLBACK_URL", "CallbackBaseUrl"),
        ("API_NOT_SUPPORTED", "BulkReadApiVersion"),
        ("INVALID_URL_PATTERN", "BulkReadApiVersion"),
        ("INVALID_SERVICE_NAME", "BulkReadApiVersion"),
        ("INVALID_HOST", "token.api_domain"),
        ("REQUEST_BODY_IS_EMPTY", "Report the message"),
    ],
)
def test_our_own_fault_is_told_with_its_remedy(code, remedy):
    error = error_from(400, flat(code), {}, "POST /x")
    assert remedy in error.remedy
    assert json.loads(error_answer(error, "").body)["message"].endswith(error.remedy)


def refusal(code, message="m", **details):
    body = {"code": code, "message": message, "status": "error", "details": details}
    return error_from(400, json.dumps(body).encode(), {}, "POST /x")


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ({}, errors.ZohoPageTokenExpired),
        ({"api_name": "page_token", "json_path": "$.query.page_token"}, errors.ZohoPageTokenExpired),
        ({"param_name": "page_token"}, errors.ZohoPageTokenExpired),
        ({"json_path": "$.query.page_token"}, errors.ZohoPageTokenExpired),
        ({"api_name": "Closing_Date"}, errors.ZohoQueryRefused),
        ({"api_name": 5}, errors.ZohoQueryRefused),
    ],
)
def test_an_expired_value_is_the_page_token_unless_it_is_another(details, kind):
    assert type(refusal("EXPIRED_VALUE", **details)) is kind


NOT_AVAILABLE = (
    "Requested field api name 'Nick_Name' is not available for the module 'Contacts'. "
    "Check permission or visibility for the field."
)
NOT_SUPPORTED = (
    "Invalid field for the module provided in fields. Field api name 'Tag' is not supported for this "
    "module 'Contacts'."
)


@pytest.mark.parametrize(
    ("code", "message", "details", "field"),
    [
        ("FIELD_NOT_AVAILABLE", NOT_AVAILABLE, {"api_name": "Nick", "module": "Contacts"}, "Nick"),
        ("FIELD_NOT_AVAILABLE", NOT_AVAILABLE, {}, "Nick_Name"),
        ("FIELD_NOT_AVAILABLE", NOT_AVAILABLE, {"api_name": 5}, "Nick_Name"),
        ("FIELD_NOT_SUPPORTED", NOT_SUPPORTED, {}, "Tag"),
        ("FIELD_NOT_SUPPORTED", "For module 'Contacts' the field 'Tag' is not supported", {}, "Tag"),
        ("FIELD_NOT_SUPPORTED", "no", {}, None),
        ("INVALID_DATA", "m", {"api_name": "Tag", "json_path": "$.query.fields[3]"}, "Tag"),
    ],
)
def test_a_refused_field_is_named(code, message, details, field):
    error = refusal(code, message, **details)
    assert type(error) is errors.ZohoFieldRefused
    assert error.field == field


@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("FIELD_IN_CRITERIA_NOT_AVAILABLE", {"api_name": "Email"}),
        ("FIELD_NOT_AVAILABLE", {"api_name": "Email", "json_path": "$.query.criteria.field"}),
        ("INVALID_DATA", {"api_name": "fields", "json_path": "$.query.fields"}),
    ],
)
def test_what_is_not_about_one_of_the_fields_names_none(code, details):
    assert type(refusal(code, NOT_AVAILABLE, **details)) is errors.ZohoQueryRefused


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (
            {"api_name": "Amount", "supported": ["equal", "in"]},
            "(C: m). It is about Amount. Supported: equal, in.",
        ),
        ({"json_path": "$.query.page", "api_name": "page"}, "(C: m). It is about $.query.page and page."),
        ({"api_name": "file_type", "supported_values": ["ics", "csv"]}, "file_type. Supported: ics, csv."),
        ({"supported_callback_methods": ["post"]}, "(C: m). Supported: post."),
        ({"supported_version": "v8"}, "(C: m). Supported: v8."),
        ({"max_limit": 25}, "(C: m). The limit is 25."),
        ({"limit": 50, "param_name": "fields"}, "(C: m). It is about fields. The limit is 50."),
        ({"permissions": ["Crm_Implied_View_Leads"]}, "(C: m). Needed: Crm_Implied_View_Leads."),
        ({"reason": "x", "api_name": "Leads"}, '(C: m {"reason": "x"}). It is about Leads.'),
        ({}, "(C: m)."),
    ],
)
def test_zohos_details_are_told_in_words(details, told):
    assert refusal("C", **details).message.endswith(told)


def test_details_of_any_length_leave_room_for_the_advice():
    body = json.dumps(
        {"code": "OAUTH_SCOPE_MISMATCH", "message": "x" * 9999, "details": {"api_name": "y" * 9999}}
    )
    error = error_from(401, body.encode(), {}, "POST /x", ("ZohoCRM.bulk.READ",))
    assert error.as_failure()["message"].endswith("Add the scope ZohoCRM.bulk.READ to the grant.")


def test_a_callback_url_in_zohos_words_loses_its_signature():
    url = f"https://x/v1/e/zoho/bulk-read/callback/e/1/{'a' * 64}"
    error = refusal("INVALID_CALLBACK_URL", f"Invalid URL '{url}' for callback.", api_name=url, url=url)
    assert "aaa" not in error.message
    assert "callback/e/1/***" in error.message


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
