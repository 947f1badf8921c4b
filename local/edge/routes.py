"""The routes of the HTTP API, read from the OpenAPI document that SAM's translator writes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from local.edge.tokens import Authorizer
from local.host.processes import LocalStackError

_FUNCTION = re.compile(r"/functions/(.+)/invocations$")
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}
_ANY = "x-amazon-apigateway-any-method"
_DEFAULT = "$default"


@dataclass(frozen=True)
class Route:
    """A route of the API: the function it invokes, and the authorizer that guards it."""

    method: str
    path: str
    function: str
    authorizer: Authorizer | None = None
    scopes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The route key, as in events and access logs."""
        return _DEFAULT if self.path == _DEFAULT else f"{self.method} {self.path}"

    def pattern(self) -> str:
        """Return the regular expression that the route's percent-encoded paths match."""
        return ".*" if self.path == _DEFAULT else "/".join(map(_part_pattern, self.path.split("/")))

    def rank(self) -> tuple[bool, list[int], bool]:
        """Return the sort key that puts the most specific route first.

        From left to right, a literal part is preferred to a parameter, and a parameter to a greedy one. A
        method is preferred to ANY. `$default` comes last.
        """
        kinds = [part.startswith("{") + part.endswith("+}") for part in self.path.split("/")]
        return (self.path == _DEFAULT, kinds, self.method == "ANY")


def _part_pattern(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return f"(?P<{part[1:-2]}>.*)" if part.endswith("+}") else f"(?P<{part[1:-1]}>[^/]+)"


@dataclass(frozen=True)
class Match:
    """The route of a request, and its decoded path parameters."""

    route: Route
    parameters: dict[str, str]


def find_route(routes: Sequence[Route], method: str, path: str) -> Match | None:
    """Return the most specific route for `path`, which is percent-encoded, or None."""
    for route in sorted(routes, key=Route.rank):
        if route.method in (method, "ANY") and (match := re.fullmatch(route.pattern(), path)):
            return Match(route, {name: unquote(value) for name, value in match.groupdict().items()})
    return None


def read_routes(body: Mapping[str, Any], public_key: RSAPublicKey) -> list[Route]:
    """Return all routes of an OpenAPI document, with their authorizers. Raises LocalStackError."""
    authorizers = dict(_authorizers(body, public_key))
    routes = []
    for path, operations in body.get("paths", {}).items():
        for method, operation in operations.items():
            if method not in _METHODS and method != _ANY:
                continue
            name, scopes = _security(operation, body)
            if name is not None and name not in authorizers:
                raise LocalStackError(
                    f"{method} {path} has the authorizer {name}; only JWT ones are supported"
                )
            routes.append(
                Route(
                    method="ANY" if method == _ANY else method.upper(),
                    path=_DEFAULT if path == "/$default" else path,
                    function=_function(operation, f"{method} {path}"),
                    authorizer=authorizers[name] if name is not None else None,
                    scopes=scopes,
                )
            )
    return routes


def _function(operation: Mapping[str, Any], where: str) -> str:
    uri = operation.get("x-amazon-apigateway-integration", {}).get("uri", "")
    if match := _FUNCTION.search(uri):
        return match[1]
    raise LocalStackError(f"{where} has no Lambda integration; the local stack supports no other")


def _security(operation: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Return the authorizer's name and the scopes of an operation."""
    for requirement in operation.get("security", body.get("security", [])):
        for name, scopes in requirement.items():
            # SAM writes Authorizer: NONE as a requirement of that name.
            return (None, ()) if name == "NONE" else (name, tuple(scopes))
    return None, ()


def _authorizers(body: Mapping[str, Any], public_key: RSAPublicKey) -> Iterator[tuple[str, Authorizer]]:
    for name, scheme in body.get("components", {}).get("securitySchemes", {}).items():
        definition = scheme.get("x-amazon-apigateway-authorizer", {})
        if definition.get("type") == "jwt":
            configuration = definition["jwtConfiguration"]
            source = definition.get("identitySource", "$request.header.Authorization")
            header = source.rpartition("$request.header.")[2].lower()
            audience = tuple(configuration["audience"])
            yield name, Authorizer(configuration["issuer"], audience, public_key, header)
