"""The envelope of an error, and how it is logged."""

import json
import re

import pytest
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

from crm_export import errors, strict_json
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


# --- what is sent ---


@pytest.mark.parametrize(
    "characters",
    [range(0x80), range(0x80, 0x800), range(0x800, 0xD800), range(0xE000, 0x10000), range(0x10000, 0x11000)],
)
def test_measured_size_is_that_of_the_bytes_which_the_runtime_sends(monkeypatch, characters):
    """The limit is for what Lambda's runtime client sends: the response as JSON, the body a string in it."""
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
    text = "".join(map(chr, characters))
    copies = 6_200_000 // len(json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False).encode())
    with pytest.raises(errors.InvalidRequest) as raised:
        success("m", text * copies)
    measured = int(re.search(r"has (\d+) bytes", raised.value.message)[1])
    body = strict_json.dumps({"success": True, "message": "m", "data": text * copies})
    sent, _ = LambdaMarshaller().marshal_response({"statusCode": 200, "body": body})
    frame, _ = LambdaMarshaller().marshal_response({"statusCode": 200, "body": ""})
    assert measured == len(sent.encode()) - len(frame.encode())


def test_largest_response_fits_into_lambdas_limit_with_status_and_headers(monkeypatch):
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
    frame = len(success("m", "").body) + 12  # the quotes of the envelope are escaped
    response = success("m", "x" * (6_000_000 - frame - 1))
    sent, _ = LambdaMarshaller().marshal_response({
        "statusCode": 200, "body": response.body, "isBase64Encoded": False, "cookies": [],
        "headers": {"Content-Type": "application/json", "Retry-After": "900"},
    })  # fmt: skip
    assert 5_999_900 < len(sent.encode()) < 6_291_556


# --- code and remedy ---


def all_errors(base=errors.ExportError):
    yield base
    for kind in base.__subclasses__():
        yield from all_errors(kind)


@pytest.mark.parametrize("kind", list(all_errors()))
def test_every_error_has_a_remedy_of_its_own(kind):
    assert kind.remedy
    if kind is not errors.TypeNotSupported:  # whose remedy lists the types
        assert kind.remedy != errors.ExportError.remedy or kind.code == "INTERNAL_ERROR"


def test_response_to_an_error_has_code_message_and_remedy():
    body = json.loads(error_response(errors.WrongDataCentre("wrong host"), "r").body)
    assert body == {
        "success": False,
        "errno": 502,
        "code": "WRONG_DATA_CENTRE",
        "message": "wrong host",
        "remedy": "Store the connection again with the token.api_domain that the message names.",
        "request_id": "r",
    }


@pytest.mark.parametrize(
    ("export_type", "remedy"),
    [
        ("contcts", "Use one of these types: contacts, deals. Did you mean contacts?"),
        ("Deal", "Use one of these types: contacts, deals. Did you mean deals?"),
        ("xyzzy", "Use one of these types: contacts, deals."),
    ],
)
def test_unknown_type_lists_the_types_and_names_the_nearest(export_type, remedy):
    body = json.loads(error_response(errors.TypeNotSupported(export_type, ["contacts", "deals"]), "r").body)
    assert (body["message"], body["remedy"]) == ("Type is not Selected yet", remedy)


def test_missing_connection_names_account_and_owner():
    body = json.loads(error_response(errors.ConnectionNotFound("acct-1", "user-1"), "r").body)
    assert (body["code"], body["message"]) == ("CONNECTION_NOT_FOUND", "Access Token is not Found")
    assert "account acct-1 and owner user-1" in body["remedy"]
