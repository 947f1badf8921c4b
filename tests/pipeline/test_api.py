"""The HTTP API through the gateway: its responses, and which callers it accepts."""

import pytest
import requests

from tests.pipeline.conftest import BULK_READ, RunningStack

PAGE = "/v1/e/zoho/export"


def test_page_of_contacts_is_returned(stack: RunningStack) -> None:
    response = stack.call("GET", f"{PAGE}/contacts?page=2&limit=3")
    body = response.json()
    assert response.status_code == 200
    assert body["success"] is True
    assert len(body["data"]) == 3
    assert all(record["id"] for record in body["data"])


def test_account_without_a_connection_gets_404(stack: RunningStack) -> None:
    response = stack.call("GET", f"{PAGE}/contacts", stack.token_of("acct-2", "user-1"))
    body = response.json()
    assert response.status_code == 404
    assert (body["success"], body["errno"], body["message"]) == (False, 400, "Access Token is not Found")


def test_unsupported_type_gets_404(stack: RunningStack) -> None:
    response = stack.call("GET", f"{PAGE}/unicorns")
    body = response.json()
    assert response.status_code == 404
    assert (body["success"], body["errno"], body["message"]) == (False, 400, "Type is not Selected yet")


def test_unknown_export_is_not_found(stack: RunningStack) -> None:
    response = stack.call("GET", f"{BULK_READ}/exports/20260101T000000Z-0123456789abcdef")
    assert response.status_code == 404
    assert response.json()["message"] == "Export is not Found"


def test_export_of_another_account_is_not_found(stack: RunningStack) -> None:
    export_id = stack.start("deals")
    token = stack.token_of("acct-2", "user-1")
    assert stack.call("GET", f"{BULK_READ}/exports/{export_id}", token).status_code == 404
    stack.wait(export_id)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"{PAGE}/contacts"), ("POST", f"{BULK_READ}/contacts"), ("GET", f"{BULK_READ}/exports")],
)
def test_request_without_a_valid_token_is_unauthorized(stack: RunningStack, method: str, path: str) -> None:
    for token in ("", "nonsense"):
        response = stack.call(method, path, token)
        assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})


def test_path_without_a_route_is_not_found(stack: RunningStack) -> None:
    response = requests.get(f"{stack.state.api_url}/v1/e/zoho", timeout=10)
    assert (response.status_code, response.json()) == (404, {"message": "Not Found"})
