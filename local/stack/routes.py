"""The routes of the HTTP API, read from the OpenAPI document SAM's translator makes of the template."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from local.stack.errors import TemplateError
from local.stack.tokens import Authorizer

_FUNCTION = re.compile(r"/functions/(.+)/invocations$")
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}
_ANY = "x-amazon-apigateway-any-method"
_DEFAULT = "$default"


@dataclass(frozen=True)
class Route:
    """A route: who may call it, and the function that answers."""

    method: str
    path: str
    function: str
    authorizer: Authorizer | None = None
    scopes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return the route key, as in events and access logs."""
        return _DEFAULT if self.path == _DEFAULT else f"{self.method} {self.path}"


@dataclass(frozen=True)
class Match:
    """A route that fits a request, and its path parameters, decoded."""

    route: Route
    parameters: dict[str, str]


def find_route(routes: Sequence[Route], method: str, path: str) -> Match | None:
    """Return the most specific route for `path`, which is still percent-encoded; None when none fits.

    A literal segment beats a parameter, which beats a greedy one, from left to right; a method beats ANY;
    `$default` comes last.
    """
    fits = [
        (_rank(route), route, parameters)
        for route in routes
        if route.method in (method, "ANY") and (parameters := _parameters(route.path, path)) is not None
    ]
    if not fits:
        return None
    _, route, parameters = min(fits, key=lambda fit: fit[0])
    return Match(route, {name: unquote(value) for name, value in parameters.items()})


def _rank(route: Route) -> tuple[bool, list[int], bool]:
    kinds = [2 if part.endswith("+}") else int(part.startswith("{")) for part in route.path.split("/")]
    return (route.path == _DEFAULT, kinds, route.method == "ANY")


def _parameters(template: str, path: str) -> dict[str, str] | None:
    if template == _DEFAULT:
        return {}
    found: dict[str, str] = {}
    parts, segments = template.split("/"), path.split("/")
    for index, part in enumerate(parts):
        if part.endswith("+}") and len(segments) > index:
            return {**found, part[1:-2]: "/".join(segments[index:])}
        if index >= len(segments):
            return None
        if part.startswith("{") and segments[index]:
            found[part[1:-1]] = segments[index]
        elif part != segments[index]:
            return None
    return found if len(parts) == len(segments) else None


def read_routes(body: Mapping[str, Any], public_key: RSAPublicKey) -> list[Route]:
    """Read all routes of an OpenAPI document, with their authorizers. Raises TemplateError."""
    authorizers = dict(_authorizers(body, public_key))
    routes = []
    for path, operations in body.get("paths", {}).items():
        for method, operation in operations.items():
            if method not in _METHODS and method != _ANY:
                continue
            name, scopes = _security(operation, body)
            if name is not None and name not in authorizers:
                raise TemplateError(f"{method} {path} names {name}, which is not a JWT authorizer")
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
    raise TemplateError(f"{where} has no Lambda integration; the local stack knows no other")


def _security(operation: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
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
