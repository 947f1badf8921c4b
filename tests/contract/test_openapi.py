"""Compare docs/openapi.yaml with the template's routes, the errors and the schemas of its examples."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from crm_export import errors
from crm_export.api.requests import (
    cancel_request,
    export_request,
    list_request,
    parse_page_request,
    put_request,
    run_body,
    start_request,
)
from crm_export.api.responses import error_response
from local.cloudformation.template import load_template
from local.host.processes import REPOSITORY

SOURCE = (REPOSITORY / "docs/openapi.yaml").read_text()
# References contain the document's name, so that they resolve from a schema taken out of it.
DOCUMENT: dict[str, Any] = yaml.load(
    SOURCE.replace('"#/components/', '"urn:openapi#/components/'), Loader=yaml.CSafeLoader
)
EVENTS = sorted((REPOSITORY / "events").glob("*.json"))
REGISTRY = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(DOCUMENT))


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Return the target of a reference, or the node itself."""
    return REGISTRY.resolver().lookup(node["$ref"]).contents if "$ref" in node else node


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each operation with its route key, as API Gateway writes it."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the content of the request and of each response, with "request" or the status."""
    if "requestBody" in operation:
        yield "request", operation["requestBody"]["content"]["application/json"]
    for status, response in operation["responses"].items():
        assert set(resolve(response)["content"]) == {"application/json"}
        yield status, resolve(response)["content"]["application/json"]


def examples() -> Iterator[Any]:
    """Yield a pytest parameter (schema, example) for every example."""
    for route, operation in operations():
        for where, content in contents(operation):
            for name, example in content["examples"].items():
                yield pytest.param(content["schema"], resolve(example)["value"], id=f"{route} {where} {name}")
        for parameter in map(resolve, operation.get("parameters", [])):
            if "example" in parameter:
                name = f"{route} parameter {parameter['name']}"
                yield pytest.param(parameter["schema"], parameter["example"], id=name)


def error_classes(base: type[errors.ExportError] = errors.ExportError) -> Iterator[type[errors.ExportError]]:
    """Yield the class and all its subclasses that the API may return: not those of the command line."""
    if base.__module__ == errors.__name__:
        yield base
    for kind in base.__subclasses__():
        yield from error_classes(kind)


@pytest.fixture(scope="module")
def template_routes() -> dict[str, list[dict[str, list[str]]]]:
    """Return the security of each of the template's routes, as AWS's translator creates them."""
    resources = load_template(REPOSITORY / "template.yaml", {}, {}).cloudformation["Resources"]
    (body,) = [
        item["Properties"]["Body"] for item in resources.values() if item["Type"] == "AWS::ApiGatewayV2::Api"
    ]
    return {
        f"{method.upper()} {path}": operation.get("security", [])
        for path, item in body["paths"].items()
        for method, operation in item.items()
    }


def test_document_is_valid_openapi() -> None:
    validate(yaml.load(SOURCE, Loader=yaml.CSafeLoader))


def test_document_has_the_routes_and_security_of_the_template(
    template_routes: dict[str, list[dict[str, list[str]]]],
) -> None:
    documented = {route: operation.get("security", DOCUMENT["security"]) for route, operation in operations()}
    assert documented == template_routes


@pytest.mark.parametrize(
    ("route", "operation"), list(operations()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_path_parameters_equal_the_names_in_the_path(route: str, operation: dict[str, Any]) -> None:
    in_path = {part[1:-1] for part in route.split("/") if part.startswith("{")}
    parameters = [resolve(parameter) for parameter in operation.get("parameters", [])]
    assert {item["name"] for item in parameters if item["in"] == "path"} == in_path
    assert all(item["required"] for item in parameters if item["in"] == "path")


UNKNOWN_PARAMETER = {
    "rawPath": "/",
    "requestContext": {
        "authorizer": {"jwt": {"claims": {"account_id": "a", "uid": "u"}}},
        "domainName": "api.example.com",
    },
    "queryStringParameters": {"unknown": "1"},
}
# What reads the query string of a route; the callback's route reads none and refuses none.
READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "GET /v1/e/zoho/export/{type}": lambda event: parse_page_request("v8", event["queryStringParameters"]),
    "POST /v1/e/zoho/bulk-read/{type}": lambda event: start_request(event).read_body(),
    "GET /v1/e/zoho/bulk-read/exports": list_request,
    "GET /v1/e/zoho/bulk-read/exports/{export_id}": export_request,
    "POST /v1/e/zoho/bulk-read/exports/{export_id}/cancel": lambda event: cancel_request(
        {**event, "rawPath": "/v1/e/zoho/bulk-read/exports/x/cancel"}
    ),
    "GET /v1/e/zoho/syncs": export_request,
    "PUT /v1/e/zoho/syncs/{type}": lambda event: put_request(event).read_body(),
    "GET /v1/e/zoho/syncs/{type}": export_request,
    "DELETE /v1/e/zoho/syncs/{type}": export_request,
    "POST /v1/e/zoho/syncs/{type}/runs": lambda event: run_body({**event, "body": "{}"}),
}
CALLBACK = "POST /v1/e/zoho/bulk-read/callback/{export_id}/{part}/{signature}"


@pytest.mark.parametrize(
    ("route", "operation"), list(operations()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_documented_query_parameters_are_those_the_route_knows(route: str, operation: dict[str, Any]) -> None:
    parameters = [resolve(parameter) for parameter in operation.get("parameters", [])]
    documented = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
    if route == CALLBACK:
        assert documented == []
        return
    with pytest.raises(errors.InvalidRequest) as raised:
        READERS[route](UNKNOWN_PARAMETER)
    known = raised.value.message.partition("allowed: ")[2]
    assert known == f"{', '.join(documented) or 'none'}."
    assert "400" in operation["responses"]


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.__name__)
def test_response_to_every_error_fits_a_documented_schema(kind: type[errors.ExportError]) -> None:
    if kind is errors.ConnectionNotFound:
        error: errors.ExportError = errors.ConnectionNotFound("acct-1", "user-1")
    elif kind is errors.TypeNotSupported:
        error = errors.TypeNotSupported("contcts", ["contacts", "deals"])
    else:
        # The messages of these two statuses are part of the contract.
        error = kind(
            "TOKEN_INVALIDATED" if kind is errors.TokenInvalidated else "Export is not Found", retry_after=7
        )
    response = error_response(error, "request-1")
    body = json.loads(response.body or "")
    fitting = [
        route
        for route, operation in operations()
        for status, content in contents(operation)
        if status == str(response.status_code) and validator(content["schema"]).is_valid(body)
    ]
    assert fitting, (response.status_code, body)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator that resolves the document's own references."""
    return Draft202012Validator(schema, registry=REGISTRY, format_checker=FormatChecker())


@pytest.mark.parametrize(("schema", "example"), list(examples()))
def test_example_fits_its_schema(schema: dict[str, Any], example: Any) -> None:
    assert [error.message for error in validator(schema).iter_errors(example)] == []


@pytest.mark.parametrize("example", [item.values[1] for item in examples() if "errno" in str(item.values[1])])
def test_example_of_an_error_has_the_code_and_remedy_of_an_error(example: Any) -> None:
    if "errno" not in example:  # API Gateway's
        return
    remedies = {kind.remedy for kind in error_classes() if kind.code == example["code"]}
    assert remedies
    made_for_the_case = example["code"] in {
        "CONNECTION_NOT_FOUND", "TYPE_NOT_SUPPORTED", "TOKEN_INVALIDATED", "ZOHO_REQUEST_MALFORMED",
        "SYNC_NOT_FOUND",
    }  # fmt: skip
    assert made_for_the_case or example["remedy"] in remedies


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_route_of_event_file_is_documented(event: Any) -> None:
    route = json.loads(event.read_text()).get("routeKey")
    assert route is None or route in dict(operations())


def test_schemas_are_closed_except_for_those_of_zoho() -> None:
    """An undocumented key in our own responses must not pass; Zoho may add keys to its own."""
    schemas = DOCUMENT["components"]["schemas"]
    zoho_schemas = {"Record", "RecordsPagination", "JobCallback", "FlatJobCallback"}
    open_schemas = {
        name
        for name, schema in schemas.items()
        if schema.get("type") == "object"
        and schema.get("additionalProperties") is not False
        and schema.get("unevaluatedProperties") is not False
    }
    assert open_schemas - {"ExportSummary"} == zoho_schemas  # the schemas that extend it close it
