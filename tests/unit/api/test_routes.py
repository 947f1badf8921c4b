"""Routes of a function: the function for method and path, and the response to an error."""

import json

import pytest

from crm_export.api.responses import make_app, success
from crm_export.errors import InvalidRequest

app = make_app()


@app.get("/items")
def get_items(event):
    return success("items", None)


@app.get("/items/<item_id>/parts/<part>")
def get_part(event, item_id, part):
    return success("part", [item_id, part])


@app.post("/items/.+")
def post_item(event):
    if event["rawPath"].endswith("/bad"):
        raise InvalidRequest("it is bad")
    if event["rawPath"].endswith("/bug"):
        raise ZeroDivisionError
    return success("posted", event["rawPath"], status=202)


def event(method, path):
    return {"rawPath": path, "requestContext": {"requestId": "r-1", "http": {"method": method}}}


@pytest.mark.parametrize(
    ("method", "path", "message", "data"),
    [
        ("GET", "/items", "items", None),
        ("GET", "/items/7 %/parts/ü", "part", ["7 %", "ü"]),
        ("POST", "/items/a/b", "posted", "/items/a/b"),
    ],
)
def test_request_gets_the_function_of_its_method_and_path(method, path, message, data):
    body = json.loads(app.resolve(event(method, path))["body"])
    assert (body["message"], body["data"]) == (message, data)


def test_response_has_what_api_gateway_expects():
    assert app.resolve(event("POST", "/items/a")) == {
        "statusCode": 202,
        "headers": {"Content-Type": "application/json"},
        "body": '{"success":true,"message":"posted","data":"/items/a"}',
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/items"),
        ("POST", "/items/"),
        ("GET", "/items/"),
        ("GET", "/items/a/parts/b/c"),
        ("GET", "/x/items"),
        ("PUT", "/items/a"),
        ("HEAD", "/items"),
    ],
)
def test_other_request_is_not_found(method, path):
    response = app.resolve(event(method, path))
    body = json.loads(response["body"])
    assert (response["statusCode"], body["code"]) == (404, "ROUTE_NOT_FOUND")
    assert body["message"] == "Route is not Found"


def test_error_of_ours_becomes_a_response_with_the_request_id():
    response = app.resolve(event("POST", "/items/bad"))
    body = json.loads(response["body"])
    assert (response["statusCode"], body["message"], body["request_id"]) == (400, "it is bad", "r-1")


def test_unforeseen_exception_passes():
    with pytest.raises(ZeroDivisionError):
        app.resolve(event("POST", "/items/bug"))
