"""The gateway responds itself to requests that reach no function, and to those whose function fails."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest
import requests

from local.edge.gateway import MAX_BODY_BYTES, Gateway
from local.edge.routes import Route
from local.edge.tokens import Authorizer, TokenIssuer
from local.host.http import bind
from local.runtime.runtime_api import Outcome, Report

ISSUER = TokenIssuer("https://i", "a")
AUTHORIZER = Authorizer("https://i", ("a",), ISSUER.public_key)


class Functions:
    """A Lambda service whose functions return `outcome`, or never return if there is none."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.events: list[dict] = []

    def start(self, name: str, event: bytes) -> "Future[Outcome]":
        self.events.append(json.loads(event) | {"function": name})
        future: Future[Outcome] = Future()
        if self.outcome:
            future.set_result(self.outcome)
        return future

    def return_value(self, payload: object, failed: bool = False) -> None:
        self.outcome = Outcome(json.dumps(payload).encode(), Report("f", "r", 1, 128), failed)


@pytest.fixture(scope="module")
def service() -> Functions:
    return Functions()


@pytest.fixture
def functions(service: Functions) -> Functions:
    service.outcome = None
    service.events.clear()
    return service


@pytest.fixture(scope="module")
def gateway(service: Functions) -> Iterator[Gateway]:
    gateway = Gateway(bind(), integration_seconds=0.2)
    routes = [
        Route("GET", "/guarded/{id}", "guarded", AUTHORIZER),
        Route("GET", "/scoped", "scoped", AUTHORIZER, ("write",)),
        Route("POST", "/open", "open"),
    ]
    gateway.serve(routes, service)
    yield gateway
    gateway.close()


@pytest.fixture
def call(gateway: Gateway, functions: Functions) -> Callable[..., tuple[int, dict]]:
    def send(method: str, path: str, token: str | None = None, body: bytes | None = None) -> tuple[int, dict]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = requests.request(method, gateway.url + path, data=body, headers=headers, timeout=10)
        return response.status_code, response.json()

    return send


Call = Callable[..., tuple[int, dict]]


def test_request_with_a_valid_token_reaches_the_function(call: Call, functions: Functions) -> None:
    functions.return_value({"statusCode": 200, "body": '{"fine": true}'})
    token = ISSUER.mint("acct", "user", {"admin": True, "level": 3, "roles": ["a", "b"]})
    assert call("GET", "/guarded/7?x=1", token) == (200, {"fine": True})
    event = functions.events[0]
    claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
    assert event["function"] == "guarded"
    assert event["pathParameters"] == {"id": "7"}
    assert (claims["account_id"], claims["uid"]) == ("acct", "user")
    assert (claims["admin"], claims["level"], claims["roles"]) == ("true", "3", "[a b]")
    assert claims["exp"].isdigit()


def test_request_without_a_route_gets_404(call: Call, functions: Functions) -> None:
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
def test_request_with_an_invalid_token_gets_401(call: Call, functions: Functions, token: str | None) -> None:
    assert call("GET", "/guarded/7", token) == (401, {"message": "Unauthorized"})
    assert functions.events == []


def test_token_without_the_scope_gets_403(call: Call, functions: Functions) -> None:
    functions.return_value({"ok": 1})
    assert call("GET", "/scoped", ISSUER.mint("a", "b")) == (403, {"message": "Forbidden"})
    assert call("GET", "/scoped", ISSUER.mint("a", "b", {"scope": "read write"})) == (200, {"ok": 1})


def test_route_without_an_authorizer_needs_no_token(call: Call, functions: Functions) -> None:
    functions.return_value({"ok": 1})
    assert call("POST", "/open", body=b"{}") == (200, {"ok": 1})
    assert "authorizer" not in functions.events[0]["requestContext"]


def test_body_over_ten_megabytes_gets_413(call: Call, functions: Functions) -> None:
    assert call("POST", "/open", body=bytes(MAX_BODY_BYTES + 1)) == (
        413,
        {"message": "Request Entity Too Large"},
    )
    assert functions.events == []


def test_failed_function_gives_500_without_details(call: Call, functions: Functions) -> None:
    functions.return_value({"errorMessage": "secret"}, failed=True)
    assert call("POST", "/open", body=b"{}") == (500, {"message": "Internal Server Error"})
    functions.return_value({"statusCode": "garbage"})
    assert call("POST", "/open", body=b"{}") == (500, {"message": "Internal Server Error"})


def test_function_that_takes_too_long_gives_503(call: Call) -> None:
    assert call("POST", "/open", body=b"{}") == (503, {"message": "Service Unavailable"})


def test_response_over_lambdas_limit_gives_502_without_details(call: Call, functions: Functions) -> None:
    functions.return_value({"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "x"}, failed=True)
    assert call("POST", "/open", body=b"{}") == (502, {"message": "Internal Server Error"})


def test_each_request_is_observed_with_its_status(functions: Functions) -> None:
    observed: list[tuple[int, float]] = []
    gateway = Gateway(bind())
    gateway.serve([Route("POST", "/open", "open")], functions, lambda *seen: observed.append(seen))
    functions.return_value({"statusCode": 503})
    requests.post(f"{gateway.url}/open", timeout=10)
    requests.get(f"{gateway.url}/nothing", timeout=10)
    gateway.close()
    assert [status for status, _ in observed] == [503, 404]
    assert all(milliseconds > 0 for _, milliseconds in observed)
