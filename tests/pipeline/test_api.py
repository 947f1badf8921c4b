"""The HTTP API through the gateway: the seed's answers, and who may ask."""

import pytest
import requests

from tests.pipeline.conftest import BULK_READ, RunningStack

PAGE = "/v1/e/zoho/export"


def test_a_page_of_contacts(stack: RunningStack) -> None:
    answer = stack.call("GET", f"{PAGE}/contacts?page=2&limit=3")
    body = answer.json()
    assert answer.status_code == 200
    assert body["success"] is True
    assert len(body["data"]) == 3
    assert all(record["id"] for record in body["data"])


def test_no_stored_token_is_the_seeds_404(stack: RunningStack) -> None:
    answer = stack.call("GET", f"{PAGE}/contacts", stack.token_of("acct-2", "user-1"))
    body = answer.json()
    assert answer.status_code == 404
    assert (body["success"], body["errno"], body["message"]) == (False, 400, "Access Token is not Found")


def test_a_type_that_is_not_supported_is_the_seeds_404(stack: RunningStack) -> None:
    answer = stack.call("GET", f"{PAGE}/unicorns")
    body = answer.json()
    assert answer.status_code == 404
    assert (body["success"], body["errno"], body["message"]) == (False, 400, "Type is not Selected yet")


def test_an_unknown_export_is_not_found(stack: RunningStack) -> None:
    answer = stack.call("GET", f"{BULK_READ}/exports/20260101T000000Z-0123456789abcdef")
    assert answer.status_code == 404
    assert answer.json()["message"] == "Export is not Found"


def test_an_export_of_another_account_is_not_found(stack: RunningStack) -> None:
    export_id = stack.start("deals")
    token = stack.token_of("acct-2", "user-1")
    assert stack.call("GET", f"{BULK_READ}/exports/{export_id}", token).status_code == 404
    stack.wait(export_id)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"{PAGE}/contacts"), ("POST", f"{BULK_READ}/contacts"), ("GET", f"{BULK_READ}/exports")],
)
def test_without_a_token_nobody_gets_in(stack: RunningStack, method: str, path: str) -> None:
    for token in ("", "nonsense"):
        answer = stack.call(method, path, token)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


def test_a_path_that_is_no_route_is_not_found(stack: RunningStack) -> None:
    answer = requests.get(f"{stack.state.api_url}/v1/e/zoho", timeout=10)
    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})
