"""A response of Zoho's becomes an error: by code, then by status, whoever responded."""

import json
import re

import pytest
import requests
import responses

from crm_export import errors
from crm_export.api.responses import error_response
from crm_export.exports.model import Failure
from crm_export.zoho.bulk_read import BulkRead, JobRequest
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.metadata import get_fields, get_modules
from crm_export.zoho.records import BY_ID, PageRequest, RecordsReader
from crm_export.zoho.refusals import MEANINGS, classify, error_from

# From Zoho's documentation of Bulk Read and of records: HTTP status and code; our class and HTTP status.
DOCUMENTED = [
    (401, "INVALID_TOKEN", errors.ZohoTokenRejected, 502),  # the second one: TokenInvalidated
    (401, "AUTHENTICATION_FAILURE", errors.ZohoTokenRejected, 502),
    (401, "AUTHENTICATION_FAILED", errors.ZohoTokenRejected, 502),
    (401, "INVALID_OAUTHTOKEN", errors.ZohoTokenRejected, 502),
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
    (400, "INTERNAL_SERVER_ERROR", errors.ZohoUnavailable, 502),  # in the SDK's list, without a status
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
# Not documented for our calls: PERMISSION_DENIED, which Zoho sends anyway, and codes that may come.
OTHERS = [
    (403, "PERMISSION_DENIED", errors.ZohoPermissionDenied, 403),
    (500, "INVALID_TOKEN", errors.ZohoUnavailable, 502),  # an outage must not invalidate a grant
    (503, "AUTHENTICATION_FAILED", errors.ZohoUnavailable, 502),
    (400, "invalid_token", errors.ZohoTokenRejected, 502),
    (400, "A_CODE_OF_TOMORROW", errors.ZohoQueryRefused, 422),
    (401, "A_CODE_OF_TOMORROW", errors.ZohoTokenRejected, 502),
    (401, "NO_PERMISSION", errors.ZohoTokenRejected, 502),
    (404, "A_CODE_OF_TOMORROW", errors.ZohoNotFound, 502),
    (429, "A_CODE_OF_TOMORROW", errors.ZohoThrottled, 429),
    (500, "A_CODE_OF_TOMORROW", errors.ZohoUnavailable, 502),
]


def flat(code):
    return json.dumps({"code": code, "message": "m", "status": "error", "details": {"x": 1}}).encode()


def wrapped(code):
    return json.dumps({"data": [{"code": code, "message": "m", "status": "error"}]}).encode()


def test_meanings_has_documented_codes_only():
    assert set(MEANINGS) <= {code for _, code, *_ in DOCUMENTED} | {"PERMISSION_DENIED"}


@pytest.mark.parametrize("code", MEANINGS)
def test_meanings_has_no_row_that_repeats_the_treatment_of_an_unknown_code(code):
    statuses = {status for status, documented, *_ in DOCUMENTED if documented == code} | {500}
    meaning = MEANINGS[code]
    kinds = [classify(name, status, {})[0] for status in statuses for name in (code, "A_CODE_OF_TOMORROW")]
    assert kinds[::2] != kinds[1::2] or (meaning.remedy, meaning.advice) != ("", "")


@pytest.mark.parametrize("shape", [flat, wrapped])
@pytest.mark.parametrize(("status", "code", "kind", "ours"), DOCUMENTED + OTHERS)
def test_error_class_and_our_status_follow_from_the_code(shape, status, code, kind, ours):
    error = error_from(status, shape(code), {}, "GET /x")
    assert type(error) is kind
    assert (error.zoho_code, error.http_status) == (code, status)
    assert f"GET /x with HTTP {status} ({code}: m" in error.message
    assert vars(Failure.of(error))["remedy"] or kind is errors.ZohoTokenRejected  # never escapes the client
    response = error_response(error, "request-1")
    assert response.status_code == ours
    assert json.loads(response.body)["zoho_code"] == code


@pytest.mark.parametrize(("status", "code", "kind", "_ours"), DOCUMENTED)
def test_error_is_retryable_only_if_time_may_help(status, code, kind, _ours):
    error = error_from(status, flat(code), {}, "GET /x")
    transient = (errors.ZohoThrottled, errors.ZohoUnavailable, errors.ZohoNotFound)
    assert error.retryable is issubclass(kind, transient)


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
def test_malformed_request_has_its_remedy_in_the_response(code, remedy):
    error = error_from(400, flat(code), {}, "POST /x")
    assert remedy in error.remedy
    assert json.loads(error_response(error, "").body)["remedy"] == error.remedy


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
def test_expired_value_is_the_page_token_unless_the_details_name_another(details, kind):
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
def test_refused_field_is_named(code, message, details, field):
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
def test_refusal_that_is_not_about_a_field_of_the_query_has_no_field(code, details):
    assert type(refusal(code, NOT_AVAILABLE, **details)) is errors.ZohoQueryRefused


@pytest.mark.parametrize(
    ("details", "ending"),
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
def test_details_become_words(details, ending):
    assert refusal("C", **details).message.endswith(ending)


def test_long_details_leave_room_for_the_advice():
    body = json.dumps(
        {"code": "OAUTH_SCOPE_MISMATCH", "message": "x" * 9999, "details": {"api_name": "y" * 9999}}
    )
    error = error_from(401, body.encode(), {}, "POST /x", ("ZohoCRM.bulk.READ",))
    assert vars(Failure.of(error))["message"].endswith("Add the scope ZohoCRM.bulk.READ to the grant.")


def test_callback_url_in_zohos_message_loses_its_signature():
    url = f"https://x/v1/e/zoho/bulk-read/callback/e/1/{'a' * 64}"
    error = refusal("INVALID_CALLBACK_URL", f"Invalid URL '{url}' for callback.", api_name=url, url=url)
    assert "aaa" not in error.message
    assert "callback/e/1/***" in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"[]",
        b"null",
        b'{"data": []}',
        b'{"code": 5}',
        b'{"code": ""}',
        b"[" * 99_999,
    ],
)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.ZohoUnavailable),
        (404, errors.ZohoUnavailable),
        (403, errors.ZohoUnavailable),
        (410, errors.ZohoNotFound),
        (429, errors.ZohoThrottled),
        (502, errors.ZohoUnavailable),
    ],
)
def test_error_without_code_follows_from_the_status(status, body, kind):
    error = error_from(status, body, {}, "GET /x")
    assert type(error) is kind
    assert error.zoho_code is None


@pytest.mark.parametrize(
    ("status", "body", "headers", "otherwise"),
    [
        (401, flat("INVALID_TOKEN"), {}, None),
        (401, flat("A_CODE_OF_TOMORROW"), {}, errors.ZohoPermissionDenied),
        (401, flat("AUTHORIZATION_FAILED"), {}, errors.ZohoPermissionDenied),
        (401, b"", {}, errors.ZohoUnavailable),
        (401, b"<html>", {"Content-Type": "text/html"}, errors.ZohoUnavailable),
        (
            302,
            b"",
            {"Location": "https://accounts.zoho.eu/signin?servicename=ZohoCRM"},
            errors.ZohoUnavailable,
        ),
        (302, b"", {"Location": "https://accounts.zoho.eu/x"}, errors.ZohoUnavailable),
        (303, b"", {"Location": "/crm/ShowLogin.do"}, errors.ZohoUnavailable),
        (200, b"\n<html>Sign-in to Zoho", {}, errors.ZohoUnavailable),
    ],
)
def test_response_to_a_stale_token_says_what_it_means_for_a_new_one(status, body, headers, otherwise):
    error = error_from(status, body, headers, "GET /x")
    assert type(error) is errors.ZohoTokenRejected
    assert type(error.otherwise) is (otherwise or type(None))
    assert error.otherwise is None or error.otherwise.message == error.message


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (302, b"", {"Location": "https://example.com/x?to=login"}),
        (302, b"<html>Login", {"Location": "/elsewhere", "Content-Type": "text/html"}),
        (302, b"", {}),
        (200, b"<html>Maintenance", {}),
        (200, b"login", {"Content-Type": "text/html"}),
        (502, b"<html>Login", {"Content-Type": "text/html"}),
        (403, b"<html>Login", {"Content-Type": "text/html"}),
    ],
)
def test_other_response_of_a_gateway_is_an_outage(status, body, headers):
    error = error_from(status, body, headers, "GET /x")
    assert type(error) is errors.ZohoUnavailable
    assert ("redirect" in error.message) == (status == 302)


@pytest.mark.parametrize(("header", "seconds"), [("17", 17), ("0", 1), ("soon", 60), ("", 60), ("-1", 60)])
def test_throttling_carries_retry_after(header, seconds):
    assert error_from(429, b"", {"Retry-After": header}, "GET /x").retry_after == seconds


def test_refused_value_says_what_each_type_takes():
    error = refusal("FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", api_name="Created_Time")
    assert "It is about Created_Time. A value must fit its field's type" in error.message
    assert "without milliseconds" in error.message
    assert "Owner.last_name" in error.message


# --- scopes -----------------------------------------------------------------------------------

API = "https://www.zohoapis.eu"
MISMATCH = {"code": "OAUTH_SCOPE_MISMATCH", "message": "Unauthorized", "status": "error", "details": {}}
CONTACTS = JobRequest("Contacts", {}, "csv", 1, None, "https://x/cb")


class Tokens:
    def token(self, rejected=None):
        return "token-1"


@pytest.mark.parametrize(
    ("call", "scopes"),
    [
        (
            lambda client: BulkRead(client).create_job("v8", CONTACTS),
            "scopes ZohoCRM.bulk.READ and ZohoCRM.modules.contacts.READ",
        ),
        (lambda client: BulkRead(client).get_job("v8", "1"), "scope ZohoCRM.bulk.READ"),
        (lambda client: BulkRead(client).open_result("v8", "1").__enter__(), "scope ZohoCRM.bulk.READ"),
        (
            lambda client: RecordsReader(client).get_page("v2", "Price_Books", PageRequest()),
            "scope ZohoCRM.modules.pricebooks.READ",
        ),
        (
            lambda client: RecordsReader(client).read_page("v6", "Notes", None, ["Note_Title"], BY_ID),
            "scope ZohoCRM.modules.notes.READ",
        ),
        (lambda client: get_fields(client, "v8", "Leads"), "scope ZohoCRM.settings.fields.READ"),
        (lambda client: get_modules(client, "v8"), "scope ZohoCRM.settings.modules.READ"),
    ],
)
def test_each_call_names_the_scopes_it_needs(call, scopes):
    with responses.RequestsMock(assert_all_requests_are_fired=False) as zoho:
        for method in (responses.GET, responses.POST):
            zoho.add(method, re.compile(f"{API}/.*"), json=MISMATCH, status=401)
        with pytest.raises(errors.ZohoPermissionDenied) as raised:
            call(ZohoClient(requests.Session(), API, Tokens()))
    assert f"(OAUTH_SCOPE_MISMATCH: Unauthorized). Add the {scopes} to the grant." in raised.value.message
