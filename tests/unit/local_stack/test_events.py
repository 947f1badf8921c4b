"""HTTP requests become payload-v2 events, and functions' results become HTTP responses."""

import base64
import json

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from local.edge.events import InvalidResponseError, build_event, build_response
from local.edge.routes import Match, Route


def event_of(path: str, authorizer: dict | None = None, **options: object) -> dict:
    environ = EnvironBuilder(base_url="http://127.0.0.1:8080", **options).get_environ()
    environ["REQUEST_URI"] = path
    environ["QUERY_STRING"] = path.partition("?")[2]
    match = Match(Route("GET", "/things/{id}", "f"), {"id": "a b"})
    return build_event(Request(environ), match, authorizer, "request-1", "Root=1-2-3;Parent=4;Sampled=0")


def test_event_has_the_fields_of_payload_version_2() -> None:
    event = event_of(
        "/things/a%20b?x=1&x=2&empty=",
        {"jwt": {"claims": {"uid": "u"}, "scopes": None}},
        headers=[("X-Many", "1,2"), ("Cookie", "a=1; b=2"), ("User-Agent", "curl")],
    )
    assert event["version"] == "2.0"
    assert event["routeKey"] == event["requestContext"]["routeKey"] == "GET /things/{id}"
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/things/a b"
    assert event["rawQueryString"] == "x=1&x=2&empty="
    assert event["queryStringParameters"] == {"x": "1,2", "empty": ""}
    assert event["pathParameters"] == {"id": "a b"}
    assert event["headers"]["x-many"] == "1,2"
    assert "cookie" not in event["headers"]
    assert event["cookies"] == ["a=1", "b=2"]
    context = event["requestContext"]
    assert context["authorizer"]["jwt"]["claims"] == {"uid": "u"}
    assert context["http"]["userAgent"] == "curl"
    assert context["stage"] == "$default"
    assert context["requestId"] == "request-1"


def test_event_omits_what_the_request_does_not_have() -> None:
    event = event_of("/things/1")
    assert {"cookies", "queryStringParameters", "body"}.isdisjoint(event)
    assert "authorizer" not in event["requestContext"]
    assert event["isBase64Encoded"] is False


@pytest.mark.parametrize("kind", ["application/json", "text/csv; charset=utf-8"])
def test_body_of_a_text_type_is_a_string(kind: str) -> None:
    event = event_of("/x", method="POST", data='{"ä": 1}'.encode(), content_type=kind)
    assert (event["body"], event["isBase64Encoded"]) == ('{"ä": 1}', False)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/octet-stream", ""])
def test_text_of_another_type_is_base64(kind: str) -> None:
    event = event_of("/x", method="POST", data=b"{}", content_type=kind)
    assert (event["body"], event["isBase64Encoded"]) == (base64.b64encode(b"{}").decode(), True)


@pytest.mark.parametrize("kind", ["application/zip", "application/json"])
def test_body_that_is_not_utf8_is_base64(kind: str) -> None:
    event = event_of("/x", method="POST", data=b"\xff\x00", content_type=kind)
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\xff\x00"


def response_of(result: object) -> tuple[int, dict, bytes]:
    response = build_response(json.dumps(result).encode())
    return response.status_code, dict(response.headers), response.get_data()


def test_result_with_a_status_becomes_the_response() -> None:
    response = build_response(
        json.dumps(
            {
                "statusCode": 201,
                "headers": {"Content-Type": "text/csv", "X-N": 5},
                "cookies": ["a=1", "b=2"],
                "body": base64.b64encode(b"\x00").decode(),
                "isBase64Encoded": True,
            }
        ).encode()
    )
    assert (response.status_code, response.get_data()) == (201, b"\x00")
    assert response.headers["content-type"] == "text/csv"
    assert response.headers["x-n"] == "5"
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]


def test_result_without_a_status_becomes_the_body() -> None:
    status, headers, body = response_of({"a": 1})
    assert (status, json.loads(body)) == (200, {"a": 1})
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "result",
    [
        {"statusCode": "many"},
        {"statusCode": 42},
        {"statusCode": True},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "%%%", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
    ],
)
def test_result_that_api_gateway_cannot_pass_on_is_refused(result: object) -> None:
    with pytest.raises(InvalidResponseError):
        build_response(json.dumps(result).encode())


def test_result_that_is_not_json_is_refused() -> None:
    with pytest.raises(InvalidResponseError):
        build_response(b"<html>")
