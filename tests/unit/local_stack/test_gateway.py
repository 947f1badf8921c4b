"""The gateway answers by itself what never reaches a function, and what a function fails at."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from local.stack.gateway import MAX_BODY_BYTES, Gateway
from local.stack.http import bind
from local.stack.invocation import Outcome, Report
from local.stack.routes import Route
from local.stack.tokens import Authorizer, TokenIssuer

ISSUER = TokenIssuer("https://i", "a")
AUTHORIZER = Authorizer("https://i", ("a",), ISSUER.public_key)


class Functions:
    """A Lambda service that answers as told, or never."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.events: list[dict] = []

    def start(self, name: str, event: bytes) -> "Future[Outcome]":
        self.events.append(json.loads(event) | {"function": name})
        future: Future[Outcome] = Future()
        if self.outcome:
            future.set_result(self.outcome)
        return future

    def answer(self, payload: object, failed: bool = False) -> None:
        self.outcome = Outcome(json.dumps(payload).encode(), Report("f", "r", 1, 128), failed)


@pytest.fixture
def functions() -> Functions:
    return Functions()


@pytest.fixture
def call(functions: Functions) -> Iterator[Callable[..., tuple[int, dict]]]:
    gateway = Gateway(bind(), integration_seconds=0.3)
    routes = [
        Route("GET", "/guarded/{id}", "guarded", AUTHORIZER),
        Route("GET", "/scoped", "scoped", AUTHORIZER, ("write",)),
        Route("POST", "/open", "open"),
    ]
    gateway.serve(routes, functions)

    def send(method: str, path: str, token: str | None = None, body: bytes | None = None) -> tuple[int, dict]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(gateway.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    yield send
    gateway.close()


Call = Callable[..., tuple[int, dict]]


def test_a_request_with_a_good_token_reaches_the_function(call: Call, functions: Functions) -> None:
    functions.answer({"statusCode": 200, "body": '{"fine": true}'})
    token = ISSUER.mint("acct", "user", {"admin": True, "level": 3, "roles": ["a", "b"]})
    assert call("GET", "/guarded/7?x=1", token) == (200, {"fine": True})
    event = functions.events[0]
    claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
    assert event["function"] == "guarded"
    assert event["pathParameters"] == {"id": "7"}
    assert (claims["account_id"], claims["uid"]) == ("acct", "user")
    assert (claims["admin"], claims["level"], claims["roles"]) == ("true", "3", "[a b]")
    assert claims["exp"].isdigit()


def test_no_route_is_not_found(call: Call, functions: Functions) -> None:
    assert call("GET", "/nothing") == (404, {"message": "Not Found"})
    assert call("POST", "/guarded/7") == (404, {"message": "Not Found"})
    assert functions.events == []


@pytest.mark.parametrize(
    "token",
    [
        None,
        "nonsense",
        ISSUER.mint("a", "b", expires_in=-1),
        ISSUER.mint("a", "b", {"aud": "other"}),
        ISSUER.mint("a", "b", {"iss": "https://other"}),
        TokenIssuer("https://i", "a").mint("a", "b"),
    ],
    ids=["missing", "nonsense", "expired", "audience", "issuer", "key"],
)
def test_a_bad_token_is_unauthorized(call: Call, functions: Functions, token: str | None) -> None:
    assert call("GET", "/guarded/7", token) == (401, {"message": "Unauthorized"})
    assert functions.events == []


def test_a_token_without_the_scope_is_forbidden(call: Call, functions: Functions) -> None:
    functions.answer({"ok": 1})
    assert call("GET", "/scoped", ISSUER.mint("a", "b")) == (403, {"message": "Forbidden"})
    assert call("GET", "/scoped", ISSUER.mint("a", "b", {"scope": "read write"})) == (200, {"ok": 1})


def test_a_route_without_an_authorizer_needs_no_token(call: Call, functions: Functions) -> None:
    functions.answer({"ok": 1})
    assert call("POST", "/open", body=b"{}") == (200, {"ok": 1})
    assert "authorizer" not in functions.events[0]["requestContext"]


def test_a_body_over_ten_megabytes_is_too_large(call: Call, functions: Functions) -> None:
    assert call("POST", "/open", body=bytes(MAX_BODY_BYTES + 1)) == (
        413,
        {"message": "Request Entity Too Large"},
    )
    assert functions.events == []


def test_a_function_that_fails_is_an_internal_server_error(call: Call, functions: Functions) -> None:
    functions.answer({"errorMessage": "secret"}, failed=True)
    assert call("POST", "/open", body=b"{}") == (500, {"message": "Internal Server Error"})
    functions.answer({"statusCode": "garbage"})
    assert call("POST", "/open", body=b"{}") == (500, {"message": "Internal Server Error"})


def test_a_function_that_takes_too_long_is_unavailable(call: Call) -> None:
    assert call("POST", "/open", body=b"{}") == (503, {"message": "Service Unavailable"})
