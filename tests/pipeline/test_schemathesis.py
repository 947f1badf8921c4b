"""docs/openapi.yaml against the running stack, with schemathesis: https://schemathesis.readthedocs.io

It has its own stack, because it starts hundreds of exports; its Zoho sends no callbacks.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, settings
from schemathesis import Case, Response
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.config import SchemathesisConfig

from local.host.processes import REPOSITORY
from tests.pipeline.conftest import RunningStack, running_stack
from tests.pipeline.faults import until

CONFIG = {
    # The same cases in every run, so that a new finding is due to a change.
    "generation": {"deterministic": True, "no-shrink": True, "with-security-parameters": False},
    # Unlike schemathesis's own list, without 5xx: bad input must not break anything.
    "checks": {
        "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "404", "413", "422"]},
        # API Gateway responds 404 to a method that no route has.
        "unsupported_method": {"enabled": False},
    },
}
FUZZ = settings(max_examples=25, phases=[Phase.explicit, Phase.generate], deadline=None)
# Rules that no schema expresses: how parts of a request depend on each other, and days that do not exist.
BEYOND_A_SCHEMA = re.compile(
    "the path says|for Events only|give the same value|leave it out with|name one field"
    "|criteria; at most 25|in ISO 8601|with m, h or d|a sync "
)
CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PAGE = ("/v1/e/zoho/export/{type}", "GET")
START = ("/v1/e/zoho/bulk-read/{type}", "POST")
LIST = ("/v1/e/zoho/bulk-read/exports", "GET")
GET = ("/v1/e/zoho/bulk-read/exports/{export_id}", "GET")
CANCEL = (f"{GET[0]}/cancel", "POST")
SYNCS = ("/v1/e/zoho/syncs", "GET")
PUT, SYNC, DELETE = (("/v1/e/zoho/syncs/{type}", method) for method in ("PUT", "GET", "DELETE"))
RUN = ("/v1/e/zoho/syncs/{type}/runs", "POST")
CALLBACK = ("/v1/e/zoho/bulk-read/callback/{export_id}/{part}/{signature}", "POST")

schema = schemathesis.openapi.from_path(
    REPOSITORY / "docs/openapi.yaml", config=SchemathesisConfig.from_dict(CONFIG)
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--records", "20") as stack:
        stack.zoho("PATCH", "config", {"callback_mode": "never"})
        yield stack


@pytest.fixture(scope="module")
def signed(api: RunningStack) -> dict[str, Any]:
    """The path parameters of a callback URL that Zoho was given."""
    api.start("contacts")
    *_, export_id, part, signature = api.zoho("GET", "jobs")["jobs"][-1]["callback_url"].split("/")
    return {"export_id": export_id, "part": int(part), "signature": signature}


def call_and_validate(case: Case, api: RunningStack) -> None:
    """Call as acct-1/user-1 and run all checks."""
    base_url, headers = api.state.api_url, {"Authorization": f"Bearer {api.state.token}"}
    response = case.call(base_url=base_url, headers=headers)
    case.validate_response(
        response,
        headers=headers,
        transport_kwargs={"base_url": base_url, "headers": headers},
        excluded_checks=excluded_checks(case, response),
    )


def excluded_checks(case: Case, response: Response) -> list[Any]:
    """Return the checks to skip: no schema expresses which queries Zoho accepts or who owns a page token."""
    body = response.json()
    beyond = "zoho_code" in body or BEYOND_A_SCHEMA.search(body.get("message", ""))
    if beyond or "page_token" in (case.query or {}):
        return [positive_data_acceptance]
    sent = response.request.body
    return [negative_data_rejection] if sent is not None and not sent.strip() else []


@schema.parametrize()
@FUZZ
def test_every_response_conforms_to_its_documentation(case: Case, api: RunningStack) -> None:
    call_and_validate(case, api)


@schema.include(operation_id="receiveCallback").parametrize()
@FUZZ
def test_every_response_to_a_signed_callback_conforms(
    case: Case, api: RunningStack, signed: dict[str, Any]
) -> None:
    case.path_parameters = dict(signed)
    call_and_validate(case, api)


def test_links_of_responses_work(api: RunningStack) -> None:
    class Machine(schema.as_state_machine()):
        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"base_url": api.state.api_url, "headers": authorization("acct-1", api)}

        def validate_response(self, response: Response, case: Case, **kwargs: Any) -> None:
            case.validate_response(
                response,
                headers=kwargs["headers"],
                transport_kwargs=kwargs,
                excluded_checks=excluded_checks(case, response),
            )

    Machine.run(settings=settings(max_examples=5, stateful_step_count=4, deadline=None))


@dataclass(frozen=True)
class Scenario:
    """A request and the status of its response. `fault` and `config` are the simulator's."""

    name: str
    operation: tuple[str, str]
    status: int
    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: object = None
    account: str = "acct-1"
    fault: dict[str, Any] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


USED_KEY = "k-2"  # of a request that the fixture `exports` has sent
CONTACTS, UNKNOWN = {"type": "contacts"}, {"export_id": "20260101T000000Z-0123456789abcdef"}
REFUSED = {
    "code": "INVALID_DATA",
    "message": "invalid data",
    "status": "error",
    "details": {"param": "sort_by"},
}
THROTTLED = {"code": "TOO_MANY_REQUESTS", "message": "later", "status": "error", "details": {}}
FAILING = {"code": "INTERNAL_ERROR", "message": "Internal Server Error", "status": "error", "details": {}}
NO_ROUTE = {"type": 'a"b'}
OFF = {"enabled": False}  # or a tick would start its runs
VENDORS, CASES = {"type": "vendors"}, {"type": "cases"}
SCENARIOS = [
    Scenario("contacts", PAGE, 200, CONTACTS, {"page": 1, "limit": 20}),
    Scenario("deals since", PAGE, 200, {"type": "deals"}, {"modified_since": "2020-01-01T00:00:00+05:30"}),
    Scenario("beyond the last page", PAGE, 200, CONTACTS, {"page": 9}),
    Scenario("limit out of range", PAGE, 400, CONTACTS, {"limit": 201}),
    Scenario("unknown parameter", PAGE, 400, CONTACTS, {"per_page": 20}),
    Scenario("no JWT", PAGE, 401, CONTACTS, account=""),
    Scenario("dead refresh token", PAGE, 401, CONTACTS, account="acct-dead"),
    Scenario("unusable claim", PAGE, 403, CONTACTS, account="../acct"),
    Scenario("Zoho forbids", PAGE, 403, {"type": "deals"}, config={"restricted_modules": ["Deals"]}),
    Scenario("no connection", PAGE, 404, CONTACTS, account="acct-none"),
    Scenario("unknown type", PAGE, 404, {"type": "unicorns"}),
    Scenario("no such characters", PAGE, 404, NO_ROUTE),
    Scenario(
        "Zoho refuses", PAGE, 422, CONTACTS, fault={"path": "/Contacts$", "status": 400, "body": REFUSED}
    ),
    Scenario(
        "Zoho throttles",
        PAGE,
        429,
        CONTACTS,
        fault={"path": "/Contacts$", "status": 429, "body": THROTTLED, "headers": {"Retry-After": "7"}},
    ),
    Scenario("Zoho fails", PAGE, 502, CONTACTS, fault={"path": "/Contacts$", "status": 500, "body": FAILING}),
    Scenario("broken connection", PAGE, 502, CONTACTS, account="acct-broken"),
    Scenario("everything", START, 202, CONTACTS),
    Scenario("query", START, 202, {"type": "deals"}, body={"query": {"fields": ["Deal_Name", "Amount"]}}),
    Scenario("Zoho busy", START, 202, CONTACTS, fault={"path": "/read$", "status": 429, "body": THROTTLED}),
    Scenario("not an object", START, 400, CONTACTS, body=[1]),
    Scenario("unknown parameter", START, 400, CONTACTS, {"file_type": "csv"}),
    Scenario("no JWT", START, 401, CONTACTS, account=""),
    Scenario("dead refresh token", START, 401, CONTACTS, account="acct-dead"),
    Scenario("unusable claim", START, 403, CONTACTS, account="../acct"),
    Scenario("Zoho forbids", START, 403, {"type": "deals"}, config={"restricted_modules": ["Deals"]}),
    Scenario("no connection", START, 404, CONTACTS, account="acct-none"),
    Scenario("unknown type", START, 404, {"type": "unicorns"}),
    Scenario("no such characters", START, 404, NO_ROUTE),
    Scenario("too large", START, 413, CONTACTS, body={"file_type": "c" * 10_500_000}),
    Scenario("with a key", START, 202, CONTACTS, headers={"Idempotency-Key": "k-1"}),
    Scenario("key of another request", START, 409, {"type": "deals"}, headers={"Idempotency-Key": USED_KEY}),
    Scenario("key sent again", START, 202, CONTACTS, headers={"Idempotency-Key": USED_KEY}),
    Scenario("unusable key", START, 400, CONTACTS, headers={"Idempotency-Key": "a b"}),
    Scenario("unknown key", START, 422, CONTACTS, body={"query": {"per_page": 2}}),
    Scenario("Zoho refuses", START, 422, CONTACTS, body={"query": {"fields": ["Nickname"]}}),
    Scenario("group is not a list", START, 422, CONTACTS, body={"query": {"criteria": {"group": 5}}}),
    Scenario("group of strings", START, 422, CONTACTS, body={"query": {"criteria": {"group": ["x", "y"]}}}),
    Scenario("half a character", START, 400, CONTACTS, body={"file_type": "\ud800"}),
    Scenario("half a character in a key", START, 400, CONTACTS, body={"\ud800": 1}),
    Scenario("more than an item holds", START, 400, CONTACTS, body={"query": {"cvid": "1" * 500_000}}),
    Scenario("not a number", START, 400, CONTACTS, body=b'{"query": {"criteria": {"value": NaN}}}'),
    Scenario("broken connection", START, 502, CONTACTS, account="acct-broken"),
    Scenario("first page", LIST, 200, query={"limit": 2}),
    Scenario("no exports", LIST, 200, account="acct-none"),
    Scenario("limit out of range", LIST, 400, query={"limit": 101}),
    Scenario("token of another", LIST, 400, query={"page_token": "e30="}),
    Scenario("unknown parameter", LIST, 400, query={"per_page": 20}),
    Scenario("no JWT", LIST, 401, account=""),
    Scenario("unusable claim", LIST, 403, account="../acct"),
    Scenario("running", GET, 200, {"export_id": "SIGNED"}),
    Scenario("completed", GET, 200, {"export_id": "COMPLETED"}),
    Scenario("failed", GET, 200, {"export_id": "FAILED"}),
    Scenario("unknown parameter", GET, 400, {"export_id": "COMPLETED"}, {"parts": "all"}),
    Scenario("no JWT", GET, 401, UNKNOWN, account=""),
    Scenario("unusable claim", GET, 403, UNKNOWN, account="../acct"),
    Scenario("unknown export", GET, 404, UNKNOWN),
    Scenario("another account's", GET, 404, {"export_id": "COMPLETED"}, account="acct-none"),
    Scenario("running or cancelled", CANCEL, 200, {"export_id": "RUNNING"}),
    Scenario("unknown parameter", CANCEL, 400, {"export_id": "RUNNING"}, {"parts": "all"}),
    Scenario("no JWT", CANCEL, 401, UNKNOWN, account=""),
    Scenario("unusable claim", CANCEL, 403, UNKNOWN, account="../acct"),
    Scenario("unknown export", CANCEL, 404, UNKNOWN),
    Scenario("completed", CANCEL, 409, {"export_id": "COMPLETED"}),
    Scenario("failed", CANCEL, 409, {"export_id": "FAILED"}),
    Scenario("new", PUT, 201, {"type": "tasks"}, body=OFF),
    Scenario("changed", PUT, 200, VENDORS, body={"every": "2h", **OFF}),
    Scenario("too often", PUT, 400, VENDORS, body={"every": "5m"}),
    Scenario("no JWT", PUT, 401, VENDORS, account=""),
    Scenario("unusable claim", PUT, 403, VENDORS, account="../acct"),
    Scenario("no connection", PUT, 404, VENDORS, account="acct-none"),
    Scenario("unknown type", PUT, 404, {"type": "unicorns"}),
    Scenario("too large", PUT, 413, VENDORS, body={"every": "c" * 10_500_000}),
    Scenario("one page", PUT, 422, VENDORS, body={"query": {"page": 2}}),
    Scenario("calendar", PUT, 422, {"type": "events"}, body={"query": {"file_type": "ics"}}),
    Scenario("broken connection", PUT, 502, VENDORS, account="acct-broken"),
    Scenario("all", SYNCS, 200),
    Scenario("unknown parameter", SYNCS, 400, query={"limit": 2}),
    Scenario("no JWT", SYNCS, 401, account=""),
    Scenario("unusable claim", SYNCS, 403, account="../acct"),
    Scenario("one", SYNC, 200, VENDORS),
    Scenario("unknown parameter", SYNC, 400, VENDORS, {"limit": 2}),
    Scenario("no JWT", SYNC, 401, VENDORS, account=""),
    Scenario("unusable claim", SYNC, 403, VENDORS, account="../acct"),
    Scenario("another account's", SYNC, 404, VENDORS, account="acct-none"),
    Scenario("Zoho refuses", RUN, 422, CASES),
    Scenario(
        "Zoho throttles",
        RUN,
        429,
        VENDORS,
        fault={"path": "/Vendors$", "status": 429, "body": THROTTLED, "headers": {"Retry-After": "7"}},
    ),
    Scenario("Zoho fails", RUN, 502, VENDORS, fault={"path": "/Vendors$", "status": 500, "body": FAILING}),
    Scenario("Zoho forbids", RUN, 403, VENDORS, config={"restricted_modules": ["Vendors"]}),
    Scenario("started", RUN, 202, {"type": "campaigns"}, body={"kind": "full"}),
    Scenario("in progress", RUN, 409, {"type": "quotes"}),
    Scenario("kind is no text", RUN, 400, VENDORS, body={"kind": {}}),
    Scenario("no JWT", RUN, 401, VENDORS, account=""),
    Scenario("unusable claim", RUN, 403, VENDORS, account="../acct"),
    Scenario("no such sync", RUN, 404, CONTACTS),
    Scenario("too large", RUN, 413, VENDORS, body={"kind": "c" * 10_500_000}),
    Scenario("deleted", DELETE, 200, {"type": "solutions"}),
    Scenario("unknown parameter", DELETE, 400, VENDORS, {"limit": 2}),
    Scenario("no JWT", DELETE, 401, VENDORS, account=""),
    Scenario("unusable claim", DELETE, 403, VENDORS, account="../acct"),
    Scenario("no such sync", DELETE, 404, CONTACTS),
    Scenario("documented shape", CALLBACK, 200, {"export_id": "SIGNED"}, body={"data": [{"id": "41508680"}]}),
    Scenario("a parameter", CALLBACK, 200, {"export_id": "SIGNED"}, {"x": "1"}, body={"job_id": "41508680"}),
    Scenario("flat shape", CALLBACK, 200, {"export_id": "SIGNED"}, body={"job_id": "41508680"}),
    Scenario("no job", CALLBACK, 400, {"export_id": "SIGNED"}, body={}),
    Scenario("not UTF-8", CALLBACK, 400, {"export_id": "SIGNED"}, body=b'{"job_id": "\xff"}'),
    Scenario("wrong signature", CALLBACK, 403, {**UNKNOWN, "part": 1, "signature": "0" * 64}, body={}),
    Scenario("no such characters", CALLBACK, 404, {**UNKNOWN, "part": 1, "signature": 'a"b'}, body={}),
    Scenario("too large", CALLBACK, 413, {"export_id": "SIGNED"}, body={"job_id": "c" * 10_500_000}),
]
# Our own faults (500), functions that hang (503), and half a minute of silence (504).
NOT_PROVOKED = {500, 503, 504}


def newest_export(api: RunningStack, state: str) -> dict[str, Any] | None:
    """Return the newest export if it is in `state`. The list lags behind, as an index of DynamoDB does."""
    listed = api.call("GET", "/v1/e/zoho/bulk-read/exports?limit=1").json()["data"]
    return listed[0] if listed and listed[0]["state"] == state else None


@pytest.fixture(scope="module")
def exports(api: RunningStack, signed: dict[str, Any]) -> dict[str, str]:
    """An export in every state."""
    failed = api.call("POST", "/v1/e/zoho/bulk-read/contacts", body={"query": {"fields": ["Nickname"]}})
    assert failed.status_code == 422
    newest = until("failed export", lambda: newest_export(api, "FAILED"))
    api.zoho("PATCH", "config", {"callback_mode": "normal"})
    completed = api.start("deals")
    assert api.wait(completed)["state"] == "COMPLETED"
    api.zoho("PATCH", "config", {"callback_mode": "never"})
    used = api.call("POST", "/v1/e/zoho/bulk-read/contacts", **{"Idempotency-Key": USED_KEY})
    assert used.status_code == 202
    return {
        "SIGNED": signed["export_id"],
        "COMPLETED": completed,
        "FAILED": newest["export_id"],
        "RUNNING": api.start("deals"),
    }


@pytest.fixture(scope="module", autouse=True)
def syncs(api: RunningStack) -> None:
    """The syncs that scenarios show, run and delete; Zoho refuses the query of one, and one has a run."""
    for name in ("vendors", "campaigns", "quotes", "solutions", "cases"):
        body = OFF | ({"query": {"fields": ["Nickname"]}} if name == "cases" else {})
        assert api.call("PUT", f"/v1/e/zoho/syncs/{name}", body=body).status_code == 201
    assert api.call("POST", "/v1/e/zoho/syncs/quotes/runs").status_code == 202


@pytest.fixture(scope="module", autouse=True)
def connections(api: RunningStack) -> None:
    """A connection with a refresh token that Zoho does not know, and one without a refresh token."""
    hosts = {"api_domain": api.state.zoho_url, "accounts_server": api.state.zoho_url}
    tokens = {
        "acct-dead": {"refresh_token": "1000.dead", **hosts},
        "acct-broken": hosts,
    }
    for account, token in tokens.items():
        api.aws.client("secretsmanager").create_secret(
            Name=f"zoho-crm-export/connections/{account}/user-1",
            SecretString=json.dumps({"account_id": account, "owner": "user-1", "token": token}),
        )


@pytest.fixture
def zoho(api: RunningStack) -> Iterator[RunningStack]:
    """The stack; faults and restrictions of its Zoho are removed after the test."""
    yield api
    api.zoho("PATCH", "config", {"restricted_modules": []})
    api.zoho("DELETE", "faults")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: f"{s.operation[1]}-{s.status}-{s.name}")
def test_scenario_has_its_documented_response(
    scenario: Scenario, zoho: RunningStack, exports: dict[str, str], signed: dict[str, Any]
) -> None:
    if scenario.fault:
        zoho.zoho("POST", "faults", scenario.fault)
    if scenario.config:
        zoho.zoho("PATCH", "config", scenario.config)
    path, method = scenario.operation
    case = schema[path][method].Case(
        path_parameters=path_parameters(scenario, exports, signed),
        query=scenario.query,
        **({} if scenario.body is None else {"body": scenario.body, "media_type": "application/json"}),
    )
    headers = authorization(scenario.account, zoho) | scenario.headers
    response = case.call(base_url=zoho.state.api_url, headers=headers)
    assert response.status_code == scenario.status, response.text
    case.validate_response(response, checks=CONFORMANCE)


def path_parameters(scenario: Scenario, exports: dict[str, str], signed: dict[str, Any]) -> dict[str, Any]:
    """Return the scenario's path parameters, with the id and the signature of a real export."""
    parameters = dict(scenario.path)
    if scenario.operation == CALLBACK and parameters["export_id"] == "SIGNED":
        return dict(signed)
    if "export_id" in parameters:
        parameters["export_id"] = exports.get(parameters["export_id"], parameters["export_id"])
    return parameters


def authorization(account: str, stack: RunningStack) -> dict[str, str]:
    """Return the header with a JWT of the account; no header if it is empty."""
    return {"Authorization": f"Bearer {stack.token_of(account, 'user-1')}"} if account else {}


def test_every_documented_status_has_a_scenario() -> None:
    provoked = {(scenario.operation, scenario.status) for scenario in SCENARIOS}
    documented = {
        ((path, method.upper()), int(status))
        for path, item in schema.raw_schema["paths"].items()
        for method, operation in item.items()
        for status in operation["responses"]
    }
    throttled = {
        (operation, 429) for operation in (START, LIST, GET, CANCEL, CALLBACK, SYNCS, PUT, SYNC, DELETE)
    }
    assert provoked <= documented
    assert {pair for pair in documented - provoked - throttled if pair[1] not in NOT_PROVOKED} == set()
