"""Routes are matched as an HTTP API does it, and read from the OpenAPI document of SAM."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local.edge.routes import Route, find_route, read_routes
from local.host.processes import LocalStackError

ROUTES = [
    Route("GET", "/things/{id}", "one"),
    Route("GET", "/things/list", "list"),
    Route("ANY", "/things/list", "any"),
    Route("GET", "/things/{id}/parts/{part}", "part"),
    Route("GET", "/files/{proxy+}", "files"),
    Route("GET", "/files/{name}", "file"),
]


@pytest.mark.parametrize(
    ("method", "path", "function", "parameters"),
    [
        ("GET", "/things/7", "one", {"id": "7"}),
        ("GET", "/things/list", "list", {}),
        ("POST", "/things/list", "any", {}),
        ("GET", "/things/a%20b/parts/%C3%A9", "part", {"id": "a b", "part": "é"}),
        ("GET", "/things/a%2Fb", "one", {"id": "a/b"}),
        ("GET", "/files/a", "file", {"name": "a"}),
        ("GET", "/files/a/b/c", "files", {"proxy": "a/b/c"}),
    ],
)
def test_most_specific_route_is_chosen(
    method: str, path: str, function: str, parameters: dict[str, str]
) -> None:
    match = find_route(ROUTES, method, path)
    assert match is not None
    assert (match.route.function, match.parameters) == (function, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/things"), ("GET", "/things/"), ("POST", "/things/7"), ("GET", "/x/7")],
)
def test_path_without_a_route_is_not_found(method: str, path: str) -> None:
    assert find_route(ROUTES, method, path) is None


def test_default_route_comes_last() -> None:
    routes = [Route("ANY", "$default", "default"), *ROUTES]
    assert find_route(routes, "GET", "/things/7").route.function == "one"
    match = find_route(routes, "PUT", "/anything")
    assert match.route.key == "$default"


def operation(**more: object) -> dict:
    return {
        "x-amazon-apigateway-integration": {"uri": "arn:x:path/2015-03-31/functions/arn:f/invocations"},
        **more,
    }


def test_routes_and_authorizers_come_from_the_openapi_document() -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    scheme = {
        "type": "jwt",
        "identitySource": "$request.header.X-Token",
        "jwtConfiguration": {"issuer": "https://i", "audience": ["a", "b"]},
    }
    body = {
        "paths": {
            "/a": {"get": operation(security=[{"Jwt": ["read"]}]), "parameters": []},
            "/b": {"x-amazon-apigateway-any-method": operation(security=[{"NONE": []}])},
        },
        "components": {"securitySchemes": {"Jwt": {"x-amazon-apigateway-authorizer": scheme}}},
    }
    guarded, unguarded = read_routes(body, key)
    assert (guarded.key, guarded.function, guarded.scopes) == ("GET /a", "arn:f", ("read",))
    assert (guarded.authorizer.issuer, guarded.authorizer.audience) == ("https://i", ("a", "b"))
    assert guarded.authorizer.header == "x-token"
    assert (unguarded.key, unguarded.authorizer) == ("ANY /b", None)


def test_authorizer_that_is_not_jwt_is_refused() -> None:
    body = {"paths": {"/a": {"get": operation(security=[{"Custom": []}])}}}
    with pytest.raises(LocalStackError, match="Custom"):
        read_routes(body, rsa.generate_private_key(65537, 2048).public_key())
